"""How well properties that have nothing to do with a face tell the classes apart."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from auditing.duplicates import Pair
from auditing.properties import COLUMNS_OF, Inspection
from files.classes import FAKE, REAL
from hardware import show_progress
from metrics.delong import compute_delong_interval

CONFIDENCE = 0.95  # of all intervals of an audit together
# An interval wholly above the first AUC is worth a look, above the second serious. No
# forgery needs another way of storing files. It may well change the content, but at 0.9
# (82 % right, for normal scores) a detector hardly needs to look at the face.
FILE_LIMITS = (0.5, 0.6)
CONTENT_LIMITS = (0.6, 0.9)
NUM_FOLDS = 5
Folds = Sequence[tuple[np.ndarray, np.ndarray]]
FEWEST = 10  # images, or groups, of each class in a split; fewer can show nothing


@dataclass(frozen=True)
class Property:
    """A property of images that may tell the classes apart.

    Attributes:
        name: one of `properties.COLUMNS_OF`.
        advice: what to do where it tells the classes apart.
        others: of the content: what real faces are that a detector would call fake if
            it learned this; empty: it is of how the file is stored.
    """

    name: str
    advice: str
    others: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return its numbers' names."""
        return COLUMNS_OF[self.name]

    @property
    def is_of_file(self) -> bool:
        """Return whether it is about how the image is stored, not what it shows."""
        return not self.others


_ALIKE = "re-encode both classes alike (--fix DEST)"
_LOOK = "look at images of both: the forgery itself may do this, or another"
_SCALED = "scale and compress both classes alike; the forgery itself may do this, too"
_RESIZED = "small, compressed, blurred or sharpened"
_CROPPED = (
    "crop both classes alike; the forgery itself may do this, or a frame or padding"
)
PROPERTIES = (
    Property("file type", _ALIKE),
    Property("file size", _ALIKE),
    Property("width and height", "crop and scale both alike (--fix DEST scales)"),
    Property("JPEG compression", _ALIKE),
    Property("metadata", "remove EXIF, profiles and comments (--fix DEST)"),
    Property(
        "colour", f"{_LOOK} camera or editor", "in other light or from other cameras"
    ),
    Property("brightness and contrast", f"{_LOOK} exposure", "dark, bright or flat"),
    Property("sharpness", _SCALED, _RESIZED),
    Property("border pixels", _CROPPED, "cropped or framed in another way"),
    Property("power spectrum", _SCALED, _RESIZED),
)


@dataclass(frozen=True)
class Shortcut:
    """How well one property tells the classes of one split apart.

    Attributes:
        split, trait: which property of which images.
        auc: area under the ROC curve of scores from cross-validation.
        low, high: its interval, corrected for the number of intervals of the audit.
        is_of_file: as `Property` says; false for sizes of files compressed alike.
        is_constant: all images have the same.
        difference: what is typical of each class; empty where it is constant.
        num_images: how many were judged.
    """

    split: str
    trait: Property
    auc: float
    low: float
    high: float
    is_of_file: bool
    is_constant: bool
    difference: str
    num_images: int

    @property
    def kind(self) -> str:
        """Return file or content."""
        return "file" if self.is_of_file else "content"

    @property
    def verdict(self) -> str:
        """Return serious, look or fine, by the lower end of the interval."""
        look, serious = FILE_LIMITS if self.is_of_file else CONTENT_LIMITS
        if self.low > serious:
            return "serious"
        return "look" if self.low > look else "fine"

    def format_auc(self) -> str:
        """Return `0.971 [0.950, 0.983]`."""
        return f"{self.auc:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_cells(self) -> list[str]:
        """Return it as a row of a table: property, kind, split, AUC and verdict."""
        auc = "the same in all" if self.is_constant else self.format_auc()
        return [self.trait.name, self.kind, self.split, auc, self.verdict]


def find_shortcuts(
    inspection: Inspection,
    groups: Sequence[str] | None = None,
    *,
    pairs: Sequence[Pair] = (),
    seed: int = 0,
) -> list[Shortcut]:
    """Measure how well each property tells the classes of each split apart.

    Args:
        groups: (N,) names; images of one group are judged by a classifier that has
            seen none of them, and count as one draw in the interval.
        pairs: images that show the same, which belong to one group. Else the
            classifier learns a property of one, the opposite of the other's label.

    Returns:
        A `Shortcut` for each property and split, the most telling first; none for a
        split with fewer than ten images, or groups, of a class.

    Source:
        Bonferroni's correction: with m intervals of properties that vary, each has
        the confidence 1 - 0.05 / m.
    """
    # Groups are numbered, and joined where a pair links them: int (N,).
    names = np.arange(inspection.labels.size) if groups is None else groups
    units = np.unique(names, return_inverse=True)[1]
    for pair in pairs:
        units[units == units[pair.second]] = units[pair.first]
    jobs = _list_jobs(inspection, units)
    num_intervals = sum(_varies(inspection, chosen, trait) for _, chosen, trait in jobs)
    confidence = 1 - (1 - CONFIDENCE) / max(num_intervals, 1)
    shortcuts, folds_of = [], {}
    for split, chosen, trait in show_progress(jobs, "shortcuts"):
        labels, own = inspection.labels[chosen], units[chosen]
        own = own if len(set(own)) < own.size else None
        varies = _varies(inspection, chosen, trait)
        auc, low, high = 0.5, 0.5, 0.5
        if varies:
            values = inspection.get_columns(trait.columns)[chosen]
            if split not in folds_of:  # of groups it takes a second
                folds_of[split] = list_folds(labels, own, seed=seed)
            scores = cross_validate(trait, values, labels, folds_of[split])
            auc, low, high, *_ = compute_delong_interval(
                scores, labels, groups=own, confidence=confidence
            )
        difference = _describe_difference(inspection, chosen, trait)
        shortcut = Shortcut(
            *(split, trait, auc, low, high),
            is_of_file=trait.is_of_file and not _is_content(inspection, chosen, trait),
            is_constant=not varies,
            difference=difference if varies else "",
            num_images=len(chosen),
        )
        shortcuts.append(shortcut)
    return sorted(shortcuts, key=lambda shortcut: -shortcut.low)


def _list_jobs(
    inspection: Inspection, units: np.ndarray
) -> list[tuple[str, np.ndarray, Property]]:
    """Return split, its images' indices and property: what is to be judged."""
    jobs = []
    for split in dict.fromkeys(inspection.splits.tolist()):
        chosen = np.flatnonzero(inspection.splits == split)
        found = set(zip(units[chosen], inspection.labels[chosen], strict=True))
        counts = Counter(label for _, label in found)
        if min(counts[REAL], counts[FAKE]) >= FEWEST:
            jobs += [(split, chosen, trait) for trait in PROPERTIES]
    return jobs


def _varies(inspection: Inspection, chosen: np.ndarray, trait: Property) -> bool:
    """Say whether the chosen images differ in a property."""
    values = inspection.get_columns(trait.columns)[chosen]
    return bool(np.ptp(values, axis=0).any())


def _is_content(inspection: Inspection, chosen: np.ndarray, trait: Property) -> bool:
    """Say whether it is file sizes that depend on the content alone.

    They do if all files were compressed alike, and their headers say so.
    """
    others = (p for p in PROPERTIES if p.is_of_file and p != trait)
    return (
        trait.name == "file size"
        and bool(inspection.tell_encoding[chosen].all())
        and not any(_varies(inspection, chosen, other) for other in others)
    )


def list_folds(
    labels: np.ndarray, groups: np.ndarray | None = None, *, seed: int = 0
) -> Folds:
    """Put samples into folds: for each the indices of the others, and its own.

    Classes, by `labels` (N,), are spread evenly; the samples of one of the `groups`
    (N,) are in one fold.
    """
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = kind(NUM_FOLDS, shuffle=True, random_state=seed)
    return list(folds.split(labels, labels, groups))


def cross_validate(
    trait: Property, values: np.ndarray, labels: np.ndarray, folds: Folds
) -> np.ndarray:
    """Score each sample by a classifier that was trained on other samples.

    Args:
        trait: of a file: boosted trees, which find any single value; of the content: a
            logistic regression with squares and products, which learns less from a
            photo that is in both classes, with another face planted in one.
        values: (N, P) its numbers.
        labels: (N,) 0 (real) or 1 (fake).
        folds: as `list_folds` returns them.

    Returns:
        (N,) P(fake).
    """
    if trait.is_of_file:
        classifier = HistGradientBoostingClassifier(
            max_iter=30,
            learning_rate=0.2,
            max_leaf_nodes=4,
            min_samples_leaf=max(2, len(labels) // 20),
            early_stopping=False,
        )
    else:
        classifier = make_pipeline(
            StandardScaler(),
            PolynomialFeatures(2, include_bias=False),
            StandardScaler(),
            LogisticRegression(C=0.1, max_iter=1000),
        )
    scores = cross_val_predict(
        classifier, values, labels, cv=folds, method="predict_proba"
    )
    return scores[:, FAKE]


def _describe_difference(
    inspection: Inspection, chosen: np.ndarray, trait: Property
) -> str:
    """Say what is typical of each class, in the number that differs most."""
    labels = inspection.labels[chosen]
    if trait.name == "file type":
        texts = inspection.formats[chosen]
        sides = [_describe_commonest(texts[labels == label]) for label in (REAL, FAKE)]
        return f"real: {sides[REAL]}, fake: {sides[FAKE]}"
    values = inspection.get_columns(trait.columns)[chosen]
    ranks = stats.rankdata(values, axis=0)
    gaps = ranks[labels == FAKE].mean(axis=0) - ranks[labels == REAL].mean(axis=0)
    best = int(np.abs(gaps).argmax())
    sides = [np.median(values[labels == label, best]) for label in (REAL, FAKE)]
    name, column = trait.columns[best].replace("_", " "), values[:, best]
    if sides[REAL] != sides[FAKE]:
        sides = [f"median {side:.4g}" for side in sides]
    elif 2 * np.unique(column).size > column.size:
        return f"{name}: median {sides[REAL]:.4g} in both"
    else:
        sides = [_describe_commonest(column[labels == c]) for c in (REAL, FAKE)]
    return f"{name}: real {sides[REAL]}, fake {sides[FAKE]}"


def _describe_commonest(values: np.ndarray) -> str:
    """Return the commonest value and its share."""
    distinct, counts = np.unique(values, return_counts=True)
    value = distinct[counts.argmax()]
    text = value if isinstance(value, str) else f"{value:.4g}"
    return f"{text} ({100 * counts.max() / values.size:.0f} %)"
