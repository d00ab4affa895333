"""When two names mean one sample, whoever spelt them, and what two files share."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from files.classes import SPLIT_OF
from scores.score_sets import ScoreSet

_SPLITS = set(SPLIT_OF)
_DRIVE = re.compile(r"[a-z]:")  # an absolute path's first part in Windows
MATCHES = ("path", "stem")  # what samples can be paired by
_ENDING = re.compile(r"(?<=.)\.[a-z][a-z0-9]{0,4}$")  # of a file, not the .5 of v1.5
_LEAST_SHARE = 0.25  # of equal scores beyond chance, below which files differ

Parts = tuple[str, ...]


def split_name(name: str) -> Parts:
    """Return the folders and the file that a name spells, one spelling for all.

    Backslashes are slashes, '.' and '..' are resolved, letters are composed (NFC) and
    folded to one case. An absolute path starts with '' or its drive.
    """
    text = unicodedata.normalize("NFC", name).casefold().replace("\\", "/")
    parts = [""] if text.startswith("/") else []
    for part in unicodedata.normalize("NFC", text).split("/"):
        if part == ".." and parts and parts[-1] not in ("", ".."):
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts)


def pair_names(
    names_a: Sequence[str], names_b: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Find the samples that two lists of distinct names share.

    Returns:
        Their places in both lists, in the order of the first. Equal names are a pair;
        of the others, those with the longest common tail that nobody else has, if
        `_is_same` says so.
    """
    lookup = {name: place for place, name in enumerate(names_b)}
    pairs = {i: lookup[name] for i, name in enumerate(names_a) if name in lookup}
    used = set(pairs.values())
    rest_a = {i: split_name(n) for i, n in enumerate(names_a) if i not in pairs}
    rest_b = {i: split_name(n) for i, n in enumerate(names_b) if i not in used}
    longest = min(max(map(len, rest.values()), default=0) for rest in (rest_a, rest_b))
    for size in range(longest, 0, -1):
        tails_a, tails_b = _index_tails(rest_a, size), _index_tails(rest_b, size)
        for tail in tails_a.keys() & tails_b.keys():
            own, others = tails_a[tail], tails_b[tail]
            is_alone = len(own) == len(others) == 1
            if is_alone and _is_same(rest_a[own[0]], rest_b[others[0]], size):
                pairs[own[0]] = others[0]
            for rest, places in ((rest_a, own), (rest_b, others)):
                for place in places:
                    del rest[place]
    places = sorted(pairs)
    return places, [pairs[place] for place in places]


def _index_tails(rest: Mapping[int, Parts], size: int) -> dict[Parts, list[int]]:
    index: dict[Parts, list[int]] = {}
    for place, parts in rest.items():
        if len(parts) >= size:
            index.setdefault(parts[-size:], []).append(place)
    return index


def _is_same(a: Parts, b: Parts, size: int) -> bool:
    """Say whether two paths whose last `size` parts agree are one sample.

    So they are if one path is the end of the other, if they agree up to the folder
    above that of the split, or if two absolute paths differ in their roots alone.
    """
    tail, start_a, start_b = a[-size:], set(a[:-size]), set(b[:-size])
    if not (start_a and start_b) or _SPLITS & set(tail[1:]):
        return True
    have_roots = all(not of[0] or _DRIVE.fullmatch(of[0]) for of in (a, b))
    is_sibling = start_a & start_b - {""} or _SPLITS & (start_a | start_b)
    return size > 1 and have_roots and not is_sibling


def set_keys(
    score_sets: Sequence[ScoreSet], match: str, folders: Sequence[str] = ()
) -> list[ScoreSet]:
    """Say what samples are paired by, where their names are other than as given.

    Args:
        score_sets: whose samples are to be paired.
        match: 'path', or 'stem' for the names of files alone, without their ending.
        folders: what to take off the names that begin with one of them.

    Raises:
        ValueError: no name begins with a folder, or two of one set become the same.
    """
    starts = [split_name(folder) for folder in folders]
    unused, keyed = set(starts), []
    for scores in score_sets:
        keys = None
        if scores.paths and (starts or match == "stem"):
            parts = [split_name(name) for name in scores.paths]
            found = [_find_start(name, starts) for name in parts]
            unused -= set(found)
            rest = [n[len(start) :] for n, start in zip(parts, found, strict=True)]
            keys = ["/".join(name) for name in rest]
            if match == "stem":
                keys = [_ENDING.sub("", name[-1]) for name in rest]
            with scores.name_errors():
                _check_distinct(keys, scores.paths)
        keyed.append(replace(scores, keys=keys))
    if unused:
        folder = folders[starts.index(min(unused))]
        raise ValueError(f"no sample's name begins with the folder {folder!r}")
    return keyed


def _find_start(name: Parts, starts: Sequence[Parts]) -> Parts:
    """Return the longest of the folders that a file lies in; () for none."""
    fitting = [s for s in starts if len(s) < len(name) and name[: len(s)] == s]
    return max(fitting, key=len, default=())


def _check_distinct(keys: Sequence[str], names: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for key, name in zip(keys, names, strict=True):
        other = first.setdefault(key, name)
        if other != name:
            raise ValueError(
                f"{other!r} and {name!r} would both pair as {key!r}: take fewer "
                "folders off (--strip-path), or pair by paths (--match path)"
            )


def count_common(a: ScoreSet, b: ScoreSet) -> tuple[int, str]:
    """Count the samples that two sets of one detector's scores share.

    Returns:
        How many, and by what that is known: by their names, or else by their scores
        and labels, if more of these agree than chance allows.
    """
    num_common = len(pair_names(a.paths, b.paths)[0]) if a.paths and b.paths else 0
    if num_common:
        return num_common, "names"
    small, large = sorted((_list_rows(a), _list_rows(b)), key=len)
    num_common = _count_equal(small, large)
    # Twice as many rows on either side agree by chance four times as often.
    by_chance = 4 * _count_equal(small[::2], small[1::2])
    is_sure = num_common > by_chance + _LEAST_SHARE * len(small)
    return num_common if is_sure else 0, "scores and labels"


def _list_rows(scores: ScoreSet) -> list[tuple[float, int]]:
    return list(zip(scores.scores.tolist(), scores.labels.tolist(), strict=True))


def _count_equal(rows_a: Sequence[object], rows_b: Sequence[object]) -> int:
    return (Counter(rows_a) & Counter(rows_b)).total()
