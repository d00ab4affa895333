"""What an audit has found, in plain sentences, each with what to do."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from auditing.duplicates import Pair
from auditing.properties import Inspection
from auditing.shortcuts import FEWEST, FILE_LIMITS, Shortcut
from files.names import shorten
from judging.words import count
from scores.groups import Leak

LEVELS = ("serious", "look", "info")
SHOWN = 3  # pairs, or files, that a sentence names


class Finding(NamedTuple):
    """Something that a user should know.

    Attributes:
        level: serious: the data make a detector look better than it is, or stop a
            training; look: the user must judge; info: nothing to do.
        text: a sentence that says what it is.
        advice: what to do; empty where there is nothing to do.
        pairs: the images it is about, if it is about duplicates.
    """

    level: str
    text: str
    advice: str
    pairs: tuple[Pair, ...] = ()

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.level}: {self.text}{f': {self.advice}' if self.advice else ''}"


def list_findings(
    inspection: Inspection,
    pairs: Sequence[Pair],
    leaks: Sequence[Leak],
    shortcuts: Sequence[Shortcut],
) -> list[Finding]:
    """Say what was found, the serious findings first."""
    by_group = "split by group, not by image (--fix DEST)"
    findings = [
        *_describe_unreadable(inspection),
        *_describe_pairs(inspection, pairs),
        *(Finding("serious", str(leak), by_group) for leak in leaks),
        *_describe_shortcuts(shortcuts),
        *_describe_small_splits(inspection, shortcuts),
    ]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def summarise(findings: Sequence[Finding]) -> str:
    """Return how many findings there are of which level, as a sentence."""
    levels = [finding.level for finding in findings]
    numbers = [f"{levels.count(level)} {level}" for level in LEVELS]
    verdict = "not fair as it is" if "serious" in levels else "nothing serious"
    return f"{verdict}: {', '.join(numbers)}"


def classify_pair(inspection: Inspection, pair: Pair) -> str:
    """Say what a pair means: contradiction, leak, duplicate or related.

    A contradiction has equal pixels, labelled real and fake; a leak is in two splits;
    related are a real image and a fake of one split that only resemble each other, such
    as a photo and the same photo with a planted face; the rest are duplicates.
    """
    first, second = pair.first, pair.second
    is_of_one_class = inspection.labels[first] == inspection.labels[second]
    if not is_of_one_class and pair.kind in ("bytes", "pixels"):
        return "contradiction"
    if inspection.splits[first] != inspection.splits[second]:
        return "leak"
    return "duplicate" if is_of_one_class else "related"


# What a pair means -> level, sentence, advice.
_PAIR_TEXTS = {
    "contradiction": (
        "serious",
        "equal pixels are labelled both real and fake",
        "remove the wrong one (--fix DEST removes both)",
    ),
    "leak": (
        "serious",
        "two splits show the same image",
        "keep one of each pair (--fix DEST)",
    ),
    "duplicate": (
        "look",
        "a class of a split shows the same image twice",
        "keep one of each pair (--fix DEST)",
    ),
    "related": (
        "info",
        "a fake resembles a real image of its split, as where a face was planted into "
        "that image",
        "",
    ),
}
_KINDS = {
    "bytes": "equal files",
    "pixels": "equal in pixels",
    "near": "nearly equal",
    "mirrored": "mirrored",
}


def _describe_unreadable(inspection: Inspection) -> Iterator[Finding]:
    unreadable = inspection.unreadable
    if unreadable:
        named = [f"{shorten(file.name)}: {reason}" for file, reason in unreadable]
        text = f"{count(len(named), 'file')} cannot be read ({_join(named)})"
        yield Finding("serious", text, "replace or remove them (--fix DEST)")


def _describe_pairs(inspection: Inspection, pairs: Sequence[Pair]) -> Iterator[Finding]:
    for meaning, (level, text, advice) in _PAIR_TEXTS.items():
        own = tuple(p for p in pairs if classify_pair(inspection, p) == meaning)
        if own:
            counts = {kind: sum(pair.kind == kind for pair in own) for kind in _KINDS}
            how = ", ".join(
                f"{count(n, 'pair')} {_KINDS[kind]}" for kind, n in counts.items() if n
            )
            shown = _join(
                [" and ".join(name_pair(inspection, p).values()) for p in own]
            )
            yield Finding(level, f"{text} ({how}: {shown})", advice, own)


def name_pair(inspection: Inspection, pair: Pair) -> dict[str, str]:
    """Return the short names of both images."""
    files = {name: inspection.files[getattr(pair, name)] for name in pair._fields[:2]}
    return {name: shorten(file.name) for name, file in files.items()}


def _describe_shortcuts(shortcuts: Sequence[Shortcut]) -> Iterator[Finding]:
    """Yield a finding for each property that is not fine, its splits together."""
    found = defaultdict(list)
    for shortcut in shortcuts:
        if shortcut.verdict != "fine":
            found[shortcut.trait].append(shortcut)
    for trait, rows in found.items():
        level = min((row.verdict for row in rows), key=LEVELS.index)
        is_weak = all(row.low <= FILE_LIMITS[1] for row in rows)
        aucs = ", ".join(f"{row.format_auc()} in {row.split}" for row in rows)
        text = (
            f"{trait.name} alone {'weakly ' if is_weak else ''}separates the classes "
            f"with AUC {aucs} ({rows[0].difference})"
        )
        if level == "serious" and trait.others:
            text += (
                "; a detector may learn this instead of the forgery, and then call "
                f"real faces fake only because they are {trait.others}"
            )
        yield Finding(level, text, trait.advice)


def _describe_small_splits(
    inspection: Inspection, shortcuts: Sequence[Shortcut]
) -> Iterator[Finding]:
    judged = {shortcut.split for shortcut in shortcuts}
    small = [s for s in dict.fromkeys(inspection.splits.tolist()) if s not in judged]
    if small:
        text = (
            f"{' and '.join(small)}: not searched for shortcuts, because a class has "
            f"fewer than {FEWEST} readable images, or groups"
        )
        yield Finding("info", text, "")


def _join(texts: Sequence[str]) -> str:
    """Return the first texts, and dots for the others."""
    return "; ".join([*texts[:SHOWN], *(["..."] if len(texts) > SHOWN else [])])
