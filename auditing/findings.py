"""What an audit has found, as plain sentences, each with what to do."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from auditing.duplicates import Pair
from auditing.properties import Inspection, shorten
from auditing.shortcuts import FEWEST, SERIOUS_AUC, Shortcut
from scores.groups import Leak

LEVELS = ("serious", "look", "info")
SHOWN = 3  # pairs that a sentence names


class Finding(NamedTuple):
    """Something that a user should know.

    Attributes:
        level: serious: the data make a detector look better than it is, or stop a
            training; look: the user must judge; info: as it may be.
        text: a sentence that says what it is.
        advice: what to do; empty where there is nothing.
        pairs: of images, if it is about such.
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
    """Say what was found, the serious first.

    Args:
        inspection: of the dataset.
        pairs: as `find_duplicates` returns them.
        leaks: groups that splits share.
        shortcuts: as `find_shortcuts` returns them.
    """
    findings = [
        *_describe_unreadable(inspection),
        *_describe_pairs(inspection, pairs),
        *(
            Finding("serious", str(leak), "split by group, not by image (--fix DEST)")
            for leak in leaks
        ),
        *_describe_shortcuts(shortcuts),
        *_describe_small_splits(inspection, shortcuts),
    ]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def classify_pair(inspection: Inspection, pair: Pair) -> str:
    """Say what a pair means: leak, contradiction, related or duplicate.

    A leak stands in two splits; a contradiction is equal and labelled real and fake;
    related are a real image and a fake one of the same split that only resemble each
    other, as a planted face's photo does; the rest are duplicates.
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
        "the same is shown in two splits",
        "keep one of each pair (--fix DEST)",
    ),
    "duplicate": (
        "look",
        "the same is shown twice within a class of a split",
        "keep one of each pair (--fix DEST)",
    ),
    "related": (
        "info",
        "a fake is near to a real image of its split, as where a face was planted into "
        "that",
        "",
    ),
}
_KINDS = {
    "bytes": "equal files",
    "pixels": "equal in pixels",
    "near": "nearly equal",
    "mirrored": "mirrored",
}


def _describe_unreadable(inspection: Inspection) -> list[Finding]:
    if not inspection.unreadable:
        return []
    shown = "; ".join(
        bad.reason.replace(str(bad.path), shorten(bad.path), 1)
        for bad in inspection.unreadable[:SHOWN]
    )
    more = "; ..." if len(inspection.unreadable) > SHOWN else ""
    text = (
        f"{_count(len(inspection.unreadable), 'file')} cannot be read ({shown}{more})"
    )
    return [Finding("serious", text, "replace or remove them (--fix DEST)")]


def _describe_pairs(inspection: Inspection, pairs: Sequence[Pair]) -> list[Finding]:
    findings = []
    for meaning, (level, text, advice) in _PAIR_TEXTS.items():
        own = tuple(p for p in pairs if classify_pair(inspection, p) == meaning)
        if own:
            counts = {kind: sum(pair.kind == kind for pair in own) for kind in _KINDS}
            how = ", ".join(
                f"{_count(n, 'pair')} {_KINDS[kind]}" for kind, n in counts.items() if n
            )
            shown = "; ".join(_name_pair(inspection, pair) for pair in own[:SHOWN])
            more = "; ..." if len(own) > SHOWN else ""
            sentence = f"{text} ({how}: {shown}{more})"
            findings.append(Finding(level, sentence, advice, own))
    return findings


def _name_pair(inspection: Inspection, pair: Pair) -> str:
    first, second = (inspection.paths[i] for i in (pair.first, pair.second))
    return f"{shorten(first)} and {shorten(second)}"


def _describe_shortcuts(shortcuts: Sequence[Shortcut]) -> Iterator[Finding]:
    """Yield a finding for each property and verdict, its splits together."""
    found = defaultdict(list)
    for shortcut in shortcuts:
        if shortcut.verdict != "fine":
            found[shortcut.trait, shortcut.verdict].append(shortcut)
    for (trait, verdict), rows in found.items():
        is_weak = all(row.low <= SERIOUS_AUC for row in rows)
        aucs = ", ".join(f"{format_auc(row)} in {row.split}" for row in rows)
        text = (
            f"{trait.name} alone {'weakly ' if is_weak else ''}separates the classes "
            f"with AUC {aucs} ({rows[0].difference})"
        )
        yield Finding(verdict, text, trait.advice)


def format_auc(shortcut: Shortcut) -> str:
    """Return `0.971 [0.950, 0.983]`."""
    return f"{shortcut.auc:.3f} [{shortcut.low:.3f}, {shortcut.high:.3f}]"


def _describe_small_splits(
    inspection: Inspection, shortcuts: Sequence[Shortcut]
) -> list[Finding]:
    judged = {shortcut.split for shortcut in shortcuts}
    small = [s for s in dict.fromkeys(inspection.splits.tolist()) if s not in judged]
    text = (
        f"{' and '.join(small)}: fewer than {FEWEST} readable images, or groups, of a "
        "class; shortcuts were not looked for"
    )
    return [Finding("info", text, "")] if small else []


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
