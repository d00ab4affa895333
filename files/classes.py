"""The two classes, and which words mean one of them, or a split."""

import re
from collections.abc import Collection, Iterable, Sequence

REAL, FAKE = 0, 1  # labels
NEITHER = -1  # of a decision
CLASS_NAMES = ("real", "fake")  # exactly two, by label; folders of a split

_REAL_WORDS = ("0", "0.0", "false", "real", "bonafide", "bona-fide", "bona fide")
_REAL_WORDS += ("bona_fide", "genuine", "authentic", "pristine", "original")
_REAL_WORDS += ("reals", "originals")
_FAKE_WORDS = ("1", "1.0", "true", "fake", "deepfake", "spoof", "spoofed", "attack")
_FAKE_WORDS += ("forged", "manipulated", "synthetic", "generated")
_FAKE_WORDS += ("fakes", "deepfakes", "synthesis", "synthesized", "tampered")
_FAKE_WORDS += ("ai", "gan")
LABELS = dict.fromkeys(_REAL_WORDS, REAL) | dict.fromkeys(_FAKE_WORDS, FAKE)
SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# Of a folder's name, false would mean the opposite, and numbers anything.
_IN_NAMES = {
    word: label
    for word, label in LABELS.items()
    if word.isalpha() and word not in ("true", "false")
}


def find_label(name: str) -> int | None:
    """Return what the words in the name of a folder or of a kind mean: 0 real, 1 fake.

    `0_real` and `Celeb-synthesis` tell it; None where nothing does, or both are there.
    """
    found = {_IN_NAMES[word] for word in list_words(name) if word in _IN_NAMES}
    return found.pop() if len(found) == 1 else None


def list_words(name: str) -> list[str]:
    """Return a name's words in lowercase, without digits and punctuation."""
    return re.findall(r"[^\W\d_]+", name.casefold())


def read_labels(words: Iterable[str], real_labels: Collection[str] = ()) -> list[int]:
    """Return what each word means: 0 real, 1 fake.

    Args:
        words: of a table's column.
        real_labels: those that mean real, in any case; all others mean fake. None
            given: the usual words, such as real and fake, or 0 and 1.

    Raises:
        ValueError: a word is missing or not usual, or none is the real one.
    """
    words = list(words)
    if blank := [row for row, word in enumerate(words, start=1) if not word.strip()]:
        raise ValueError(f"row {blank[0]} has no label")
    meanings = {word: LABELS.get(word.strip().lower()) for word in dict.fromkeys(words)}
    if real_labels:
        real = {word.strip().lower() for word in real_labels}
        meanings = {w: REAL if w.strip().lower() in real else FAKE for w in meanings}
        if missing := real - {word.strip().lower() for word in meanings}:
            raise ValueError(
                f"no label is {min(missing)!r}, as --real-labels says; there are "
                f"{_list_some(meanings)}"
            )
    if unknown := [word for word, label in meanings.items() if label is None]:
        raise ValueError(
            f"label {unknown[0]!r:.60} is not real or fake, 0 or 1, or the like: name "
            f"those that mean real with --real-labels; there are {_list_some(meanings)}"
        )
    return [meanings[word] for word in words]


def _list_some(words: Iterable[str]) -> str:
    """Return the first words, quoted."""
    words = sorted(words)
    return ", ".join(f"{w!r:.40}" for w in words[:8]) + ", ..." * (len(words) > 8)


def list_kinds(words: Sequence[str], labels: Iterable[int]) -> list[str]:
    """Return the kind of each fake, where there are several, and '' elsewhere.

    Args:
        words: (N,) of a table's column of labels.
        labels: (N,) what they mean, as `read_labels` says.
    """
    pairs = zip(words, labels, strict=True)
    kinds = [word if label == FAKE else "" for word, label in pairs]
    return kinds if len(set(kinds) - {""}) > 1 else [""] * len(kinds)


def read_split(word: str) -> str | None:
    """Return which split a word means; None where it means none."""
    return SPLIT_OF.get(word.strip().lower())
