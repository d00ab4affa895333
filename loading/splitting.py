"""Deal groups of pictures out to train, val and test."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from files.names import SPLITS

SHARES = (0.6, 0.2, 0.2)  # of SPLITS, where nobody says otherwise


def deal_splits(
    counts: Mapping[str, Mapping[Hashable, int]],
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> dict[str, str]:
    """Draw a split for each group, so that shares hold in each class.

    Groups of one class and those of both are dealt out each by themselves. A split
    that has nothing of a class yet comes first.

    Args:
        counts: of each group, how much it holds of each class.
        shares: of what is counted, in each split; they sum to 1.
        seed: of the order in which groups are dealt out.
    """
    kinds = {group: frozenset(held) for group, held in counts.items()}
    sizes = {group: sum(held.values()) for group, held in counts.items()}
    totals: Counter[frozenset] = Counter()
    for group, kind in kinds.items():
        totals[kind] += sizes[group]
    order = np.random.default_rng(seed).permutation(sorted(counts)).tolist()
    wanted = [(s, share) for s, share in zip(SPLITS, shares, strict=True) if share]
    splits: dict[str, str] = {}
    dealt: Counter[tuple] = Counter()  # to each split: of a kind, of a class
    for group in sorted(order, key=lambda group: -len(kinds[group])):
        kind = kinds[group]
        needs = {
            split: (
                sum(not dealt[split, name] for name in kind),
                share * totals[kind] - dealt[split, kind],
            )
            for split, share in wanted
        }
        splits[group] = split = max(needs, key=needs.get)
        dealt[split, kind] += sizes[group]
        dealt.update((split, name) for name in kind)
    return splits


def deal_rows(
    groups: Sequence[str], labels: np.ndarray, shares: Sequence[float] | None = None
) -> list[str]:
    """Return each picture's split, drawn for whole groups, always in the same way.

    Args:
        groups: (N,) of each picture.
        labels: (N,) 0 real, 1 fake.
        shares: of the pictures in train, val and test; None: as `SHARES`.
    """
    counts: dict[str, dict[int, int]] = {}
    for group, label in zip(groups, labels.tolist(), strict=True):
        held = counts.setdefault(group, {})
        held[label] = held.get(label, 0) + 1
    splits = deal_splits(counts, shares or SHARES)
    return [splits[group] for group in groups]
