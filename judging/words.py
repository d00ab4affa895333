"""Verdicts in words: lines for a terminal, sentences for a page."""

from collections import Counter

from files.names import CLASS_NAMES, FAKE, REAL
from judging.detector import Detector
from judging.verdicts import Verdict
from metrics.calibration import find_neighbours
from metrics.likelihood_ratios import (
    describe_likelihood_ratio,
    describe_limit,
    format_ratio,
)
from scores import describe_fake_score

# What to do about a picture that is not a face crop.
CROP_ADVICE = "crop the face, or --find-faces"


def format_verdict(verdict: Verdict, *, with_detector: bool = False) -> str:
    """Return a verdict as a line.

    Args:
        verdict: one that has a score.
        with_detector: also say whose it is.
    """
    score = describe_fake_score(verdict.fake_score)
    parts = [verdict.name, score, verdict.picture.name]
    if verdict.picture.face:
        left, top, right, bottom = verdict.picture.face.box
        parts.append(f"face at {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}")
    if with_detector:
        parts.append(f"by {verdict.detector.path}")
    if verdict.picture.warning:
        advice = "" if verdict.picture.face else f"; {CROP_ADVICE}"
        parts.append(f"({verdict.picture.warning}{advice})")
    return "  ".join(parts)


def summarise(
    names: Counter[str], detector: Detector, *, with_detector: bool = False
) -> str:
    """Return how many images are called what, at which threshold, and why that one.

    Args:
        names: how often each `Verdict.name` was given.
        detector: who gave them.
        with_detector: also say from which file it is.
    """
    counts = [
        f"{names[CLASS_NAMES[label]]} {CLASS_NAMES[label]}" for label in (FAKE, REAL)
    ]
    num_uncertain = sum(n for name, n in names.items() if name.endswith("?"))
    if num_uncertain:
        counts.append(f"{num_uncertain} uncertain (see the warnings)")
    whose = detector.title
    if with_detector:
        whose = f"{whose} ({detector.path})"
    return f"{', '.join(counts)} by {whose}; {describe_threshold(detector)}"


def describe_threshold(detector: Detector) -> str:
    """Say at which P(fake) an image is called fake, and where that is from."""
    source = "the default, as the checkpoint has none of its own"
    if detector.record.threshold is not None:
        policy = detector.record.threshold_policy
        source = f"from the checkpoint{f': {policy}' if policy else ''}"
    return f"called fake at or above P(fake) = {detector.threshold:.4g} ({source})"


def explain_verdict(verdict: Verdict) -> list[str]:
    """Say in sentences what a verdict is worth, and what it is not.

    Args:
        verdict: one that has a score.
    """
    if verdict.picture.warning:
        to_do = "Find a better one" if verdict.picture.face else "Crop the picture"
        return [
            "The detector knows pictures that are cropped to a large, upright, whole "
            f"face, and what it says of others means little. {to_do}, and try again."
        ]
    num_samples = sum(row.num_samples for row in verdict.detector.neighbours)
    limit = describe_limit(verdict.llr, verdict.llr_limit, num_samples)
    ratio = format_ratio(verdict.llr)
    dataset = verdict.detector.record.dataset or "the data that it was trained on"
    return [
        *_describe_neighbours(verdict),
        f"The likelihood ratio is {ratio}, fake over real: "
        f"{describe_likelihood_ratio(verdict.llr)}{limit}.",
        f"It knows fakes like those of {dataset}. On other kinds of fakes, cameras or "
        "compressions it may be wrong without any sign of it. A verdict is evidence to "
        "weigh, not proof.",
    ]


def _describe_neighbours(verdict: Verdict) -> list[str]:
    """Say how many validation images with such a score were fake."""
    rows = verdict.detector.neighbours
    if not rows:
        return [
            "How many images with such a score were fake is not known: the checkpoint "
            "was written before it was recorded; a new training records it."
        ]
    row = find_neighbours(rows, verdict.fake_score)
    num_fake, num = (sum(r[i] for r in rows) for i in (2, 3))
    low, high = (
        describe_fake_score(score).removeprefix("P(fake)").lstrip("=")
        for score in (row.lowest, row.highest)
    )
    return [
        f"Of the {row.num_samples:,} validation images with the scores most like this "
        f"(P(fake) from {low} to {high}), {row.num_fake:,} were fake.",
        f"{num_fake:,} of all {num:,} validation images were fake. Where fakes are "
        "rarer than that, more of the pictures that are called fake are real.",
    ]
