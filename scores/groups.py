"""Groups of samples that belong together: a video's frames, one person's images."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from files.classes import FAKE, REAL

if TYPE_CHECKING:
    from faces_dataset import FacesDataset  # which needs torch

# 'video7' in 'video7_031.png', and all of a name without an underscore but its ending.
PREFIX_PATTERN = r"^([^_]+?)(?:_|\.[^.]*$|$)"


class Leak(NamedTuple):
    """Groups that two splits share."""

    split_a: str
    split_b: str
    groups: tuple[str, ...]

    def __str__(self) -> str:
        """Say it, with the first five names."""
        shown = (n if n.isprintable() else repr(n) for n in self.groups[:5])
        names = ", ".join(shown) + (", ..." if self.groups[5:] else "")
        splits = f"{self.split_a} and {self.split_b}"
        what = "groups are" if len(self.groups) > 1 else "group is"
        return f"{len(self.groups)} {what} in both {splits}: {names}"


def groups_from_names(
    names: Sequence[str], pattern: str | None = None, known: Sequence[str] | None = None
) -> list[str] | None:
    """Take each sample's group out of its file name, or of what its dataset says.

    Args:
        names: file names or paths, of which folders are ignored.
        pattern: a regular expression, searched in the name. The group is what its
            first parentheses match, or the whole match if it has none; 'prefix' stands
            for what comes before the first '_', or else before the ending.
        known: what the dataset says, without a pattern; '' for nothing of a sample.

    Returns:
        A group for each name; None where nothing says so: each sample on its own.

    Raises:
        ValueError: for a broken pattern, or one that does not match a name.
    """
    if pattern is None:
        if known is None:
            return None
        return [group or name for group, name in zip(known, names, strict=True)]
    compiled = _compile(PREFIX_PATTERN if pattern == "prefix" else pattern, "group")
    file_names = [Path(name).name for name in names]
    groups = [_find_first(compiled, name) for name in file_names]
    if "" in groups:
        name = file_names[groups.index("")]
        raise ValueError(
            f"group pattern {pattern!r} finds no group in the name {name!r}"
        )
    return groups


def choose_groups(groups: Sequence[str], share: float, seed: int) -> list[int]:
    """Choose random groups that hold a share of the samples, above 0 and below 1.

    Returns the samples' indices, sorted: whole groups, one or more, of several not all.
    """
    names, index = np.unique(groups, return_inverse=True)
    sizes = np.bincount(index)
    order = np.random.default_rng(seed).permutation(len(names))
    num = int(np.searchsorted(np.cumsum(sizes[order]), share * len(groups))) + 1
    num = min(num, max(1, len(names) - 1))
    return np.flatnonzero(np.isin(index, order[:num])).tolist()


def deal_folds(groups: Sequence[str], labels: np.ndarray, num: int) -> np.ndarray:
    """Deal groups into folds of like size and like share of fakes.

    The largest group first, each goes to the fold that has least of its classes. Of
    equal size, the order is that of a hash of the groups' names: it is as good as
    random, and the same whatever the seed.

    Args:
        groups, labels: (N,) of each sample; labels int64, 0 (real) or 1 (fake).
        num: how many folds.

    Returns:
        The number of each sample's fold, int64 (N,).

    Raises:
        ValueError: there are too few groups for each fold to hold both classes.
    """
    names, index = np.unique(groups, return_inverse=True)
    counts = np.stack([np.bincount(index, labels == c) for c in (REAL, FAKE)], axis=1)
    shares = counts / counts.sum(axis=0)  # (G, 2)
    hashes = [hashlib.sha256(os.fsencode(str(name))).hexdigest() for name in names]
    order = np.lexsort([hashes, -counts.sum(axis=1)])
    sums, fold_of = np.zeros((num, 2)), np.empty(len(names), dtype=np.int64)
    for group in order:
        fold = np.argmin(np.round(sums @ shares[group], 12))
        sums[fold] += shares[group]
        fold_of[group] = fold
    if not sums.all():
        raise ValueError(
            f"{num} folds need {num} groups of real and of fake images, got "
            f"{int((counts[:, REAL] > 0).sum())} and "
            f"{int((counts[:, FAKE] > 0).sum())}: take fewer folds, or smaller groups"
        )
    return fold_of[index]


def subsets_from_names(
    names: Sequence[str],
    labels: ArrayLike,
    pattern: str | None = None,
    known: Sequence[str] | None = None,
) -> Sequence[str] | None:
    """Take each sample's subset, such as a forgery method, out of its path.

    Args:
        names: paths; folders are searched as well.
        labels: (N,) 0 (real) or 1 (fake).
        pattern: a regular expression, as for `groups_from_names`.
        known: what the dataset says, without a pattern.

    Returns:
        A subset for each name, '' for a sample in none; None where nothing says so.

    Raises:
        ValueError: for a broken pattern, or one that does not match a fake's path.
    """
    if pattern is None:
        return known
    compiled = _compile(pattern, "subset")
    subsets = [_find_first(compiled, name) for name in names]
    for name, label, subset in zip(names, labels, subsets, strict=True):
        if label == FAKE and not subset:
            raise ValueError(
                f"subset pattern {pattern!r} finds no subset in the path {name!r}"
            )
    return subsets


def _compile(pattern: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{what} pattern {pattern!r} is not a regular expression: {error}"
        ) from None


def find_groups(
    dataset: "FacesDataset", pattern: str | None = None
) -> list[str] | None:
    """Return the groups of a dataset's images, as `groups_from_names` finds them."""
    names = [dataset.get_name(index) for index in range(len(dataset))]
    return groups_from_names(names, pattern, dataset.get_column("group"))


def _find_first(pattern: re.Pattern[str], text: str) -> str:
    """Return what the first parentheses match, or all of it; '' for no match."""
    match = pattern.search(text)
    return (match and match.group(1 if pattern.groups else 0)) or ""


def find_leaks(groups_by_split: Mapping[str, Iterable[str]]) -> list[Leak]:
    """Return a `Leak` for each pair of splits (name -> groups) that share groups."""
    sets = {split: set(groups) for split, groups in groups_by_split.items()}
    return [
        Leak(first, second, tuple(sorted(sets[first] & sets[second])))
        for first, second in combinations(sets, 2)
        if sets[first] & sets[second]
    ]
