"""Deal groups of pictures out to train, val and test."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

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


def deal_evenly(
    groups: Sequence[str], labels: Iterable[int], shares: Sequence[float] | None = None
) -> list[str]:
    """Return each picture's split, whole groups in one, as `deal_splits` deals them.

    Shares are of the pictures; None: as `SHARES`.
    """
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for group, label in zip(groups, labels, strict=True):
        counts[group][label] += 1
    splits = deal_splits(counts, shares or SHARES)
    return [splits[group] for group in groups]


def deal_rows(groups: Sequence[str], shares: Sequence[float] | None) -> list[str]:
    """Return each picture's split, whole groups in one.

    A group's name alone says where it goes, so that it stays where it is when others
    are added; shares, of the groups, hold only about. None: as `SHARES`.
    """
    ends = np.cumsum(shares or SHARES)
    ends[np.flatnonzero(shares or SHARES)[-1] :] = 1  # whatever rounding left
    splits = {}
    for group in set(groups):
        digest = hashlib.sha256(os.fsencode(group)).digest()
        place = int.from_bytes(digest[:6], "big") / 2**48
        splits[group] = SPLITS[int(np.searchsorted(ends, place, side="right"))]
    return [splits[group] for group in groups]


def find_families(reals: Iterable[str], fakes: Iterable[str]) -> dict[str, str]:
    """Return a family's name for each group: what may show one person or scene.

    A fake belongs to the real ones of which all parts of the name are among its own:
    `000_003` to `000` and `003` (FaceForensics++), `id0_id1_0000` to `id0_0000` and
    `id1_0000` (Celeb-DF). So do all that belong to one of them. The parts of a name
    stand between _ or -.
    """
    reals, fakes = sorted(set(reals)), sorted(set(fakes))
    families = {group: group for group in (*reals, *fakes)}
    parts = {group: frozenset(re.split("[_-]", group.casefold())) for group in families}
    members = {group: [group] for group in families}
    counts = Counter(part for real in reals for part in parts[real])
    by_part = defaultdict(list)  # each real one under its rarest part
    for real in reals:
        by_part[min(parts[real], key=lambda part: (counts[part], part))].append(real)
    for fake in fakes:
        own = [real for part in parts[fake] for real in by_part.get(part, ())]
        for real in sorted(real for real in own if parts[real] < parts[fake]):
            joined, left = families[fake], families[real]
            if joined != left:
                for group in members[left]:
                    families[group] = joined
                members[joined] += members.pop(left)
    return families
