"""Verdicts in words: lines for a terminal, sentences for a page."""

from collections import Counter
from typing import TYPE_CHECKING

import metrics
from files.classes import CLASS_NAMES, FAKE, NEITHER, REAL
from files.names import STARTER, format_percent
from judging.base import BaseDetector
from judging.pictures import Picture
from judging.tracks import (
    LEAST_FRAMES,
    STRETCH,
    Clip,
    Track,
    count_reasons,
    format_seconds,
    format_span,
)
from judging.verdicts import INCONCLUSIVE, Verdict
from loading.disturbances import parse_condition
from loading.face_finding import can_find_faces
from loading.origin.traces import describe_frames, describe_generation
from metrics.meaning import (
    describe_fake_score,
    describe_likelihood_ratio,
    describe_limit,
    find_neighbours,
    format_fake_score,
    format_ratio,
)
from records.checkpoint import CheckpointRecord, ErrorCounts

if TYPE_CHECKING:
    from judging.parts import Part

# What to do about a picture that is not a face crop.
CROP_ADVICE = "crop the face, or: pip install -r requirements-faces.txt"
MOST_SPANS = 3  # that a line names
MOST_ERRORS = 0.25  # of both classes on validation, above which a warning is due
ONE_CLASS_SHARE = 0.98  # of the images given one answer, at which a warning is due
# What follows of a verdict where fakes are more or less frequent than they were.
_WHERE_OTHERWISE = {
    "fake": "Where fakes are rarer than that, more of the pictures that are called "
    "fake are real.",
    "real": "Where fakes are commoner than that, more of the pictures that are called "
    "real are fake.",
    INCONCLUSIVE: "Where fakes are rarer than that, fewer of the pictures with such a "
    "score are fake.",
}
NOT_PROOF = "A verdict is evidence to weigh, not proof."
TOO_WEAK = "the evidence is too weak either way"
INCONCLUSIVE_MEANS = (
    'Inconclusive is not a weak "fake". Of a picture without a face, with a small one, '
    "or unlike the calibration images nothing is known. Where the score lies between "
    "the bounds, harmless versions get the opposite verdict, or a video's frames "
    f"disagree, {TOO_WEAK}."
)


def describe_faces(picture: Picture) -> str:
    """Say whether faces were looked for in a picture, and how many were found."""
    if picture.num_faces is None:
        return "Nobody checked whether it shows a face, or several."
    if picture.num_faces == 0:
        return "No face was found in it."
    one = picture.num_faces == 1
    found = "One face was found" if one else f"{picture.num_faces} faces were found"
    if picture.face is None:
        which = "it" if one else "the largest"
        return f"{found}; the picture is a crop to {which}, and all of it was judged."
    return f"{found}." if one else f"{found}; they are numbered from left to right."


def format_verdict(verdict: Verdict, *, with_detector: bool = False) -> str:
    """Return a verdict that has a score as a line, which may say whose it is."""
    picture = verdict.picture
    parts = [verdict.name]
    if not verdict.reasons:
        parts.append(describe_fake_score(verdict.fake_score))
    parts.append(picture.name)
    if verdict.track:
        parts.append(f"person {picture.person}, {describe_time(verdict.track)}")
    if picture.face:
        left, top, right, bottom = picture.face.box
        which = "face" if picture.num_faces == 1 else f"face {picture.number}"
        parts.append(f"{which} at {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}")
    if with_detector:
        parts.append(f"by {verdict.detector.path}")
    if verdict.reasons:
        unlooked = picture.num_faces is None and picture.reasons
        advice = f"; {CROP_ADVICE}" if unlooked else ""
        parts.append(f"({'; '.join(verdict.reasons)}{advice})")
    said = describe_generation(picture.origin), describe_frames(picture.origin)
    return "  ".join([*parts, *(f"({words})" for words in filter(None, said))])


def describe_time(track: Track) -> str:
    """Say how many of a person's frames are judged, and when it is seen and is not."""
    frames = count(len(track.moments), "frame")
    judged = f"{track.num_judged} of {frames} judged, from {format_span(*track.ends)}"
    parts = track.unjudged if track.num_judged else []
    spans = [format_span(*ends) for ends in parts[:MOST_SPANS]]
    if len(parts) > MOST_SPANS:
        spans.append(f"{len(parts) - MOST_SPANS} more times")
    return f"{judged}, not from {', '.join(spans)}" if spans else judged


def capitalise(sentence: str) -> str:
    """Return a sentence with a capital at its start; the rest stays."""
    return f"{sentence[:1].upper()}{sentence[1:]}"


def count(number: int, noun: str) -> str:
    """Return '1 picture' or '2 pictures'."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def describe_judged(kinds: Counter[str], num_files: int) -> str:
    """Say how many pictures, faces and persons have a verdict; '' where one each.

    Args:
        kinds: how often a 'face', a 'person' or, where there is neither, '' was judged.
        num_files: of the pictures and videos.
    """
    if kinds.total() == num_files:
        return ""
    parts = [count(num_files, "file" if kinds["person"] else "picture")]
    parts += [count(kinds[kind], kind) for kind in ("face", "person") if kinds[kind]]
    return ", ".join(parts + [f"{kinds['']} without a face"] * bool(kinds[""]))


def describe_looked(clip: Clip) -> str:
    """Say which frames of a video were looked at: one or more."""
    frames = count(len(clip.seconds), "frame")
    span = format_span(clip.seconds[0], clip.seconds[-1])
    end = "to its end" if clip.is_whole else "what comes after was not looked at"
    return f"{frames}, one every {clip.every:g} s, from {span}; {end}"


def describe_cuts(clip: Clip) -> str:
    """Say when a video's scene changes."""
    return ", ".join(map(format_seconds, clip.cuts)) or "none found"


def describe_moments(track: Track) -> str:
    """Say how many frames are called what, and why some cannot be judged."""
    decisions = [m.decision for m in track.moments if not m.is_withheld]
    said = [f"{decisions.count(n)} {CLASS_NAMES[n]}" for n in (REAL, FAKE)]
    if NEITHER in decisions:
        said.append(f"{decisions.count(NEITHER)} between them")
    if withheld := [m for m in track.moments if m.is_withheld]:
        said.append(f"{len(withheld)} cannot be judged: {count_reasons(withheld)}")
    return ", ".join(said)


def describe_extremes(track: Track) -> str | None:
    """Say what the lowest and the highest mean logit of a stretch is, and when.

    None where too few frames are judged, or they are too far apart for stretches.
    """
    are_single = any(stretch.start == stretch.end for stretch in track.extremes)
    if len(track.judged) < LEAST_FRAMES or are_single:
        return None
    low, high = (
        f"{stretch.difference:.2f} from {format_span(stretch.start, stretch.end)}"
        for stretch in track.extremes
    )
    return f"lowest {low}; highest {high}"


def describe_counting(detector: BaseDetector) -> str:
    """Say what the frames of a person in a video count as, by whom, and why."""
    return f"by {detector.path}, {explain_counting(detector)}"


def explain_counting(detector: BaseDetector) -> str:
    """Say what the frames of a person in a video count as, and why."""
    start = "the frames of a person count as"
    if not detector.record.track_calibration:
        return f"{start} one image, because this detector's validation knew no videos"
    own = detector.of_tracks
    return (
        f"{start} one video: bounds and ratios are of validation's "
        f"{own.record.num_calibrated} groups, and a person is "
        f"{_format_bounds(own.real_below, own.threshold)}"
    )


def summarise(
    names: Counter[str], detector: BaseDetector, *, with_detector: bool = False
) -> str:
    """Return how many images are called what, at which threshold, and why that one.

    `names` says how often each `Verdict.name` was given; with the detector's file, if
    it is one of several.
    """
    counts = [
        f"{names[CLASS_NAMES[label]]} {CLASS_NAMES[label]}" for label in (FAKE, REAL)
    ]
    if names[INCONCLUSIVE]:
        counts.append(f"{names[INCONCLUSIVE]} {INCONCLUSIVE}")
    whose = f"{detector.title} ({detector.path})" if with_detector else detector.title
    return f"{', '.join(counts)} by {whose}; {describe_threshold(detector)}"


def describe_limits(detector: BaseDetector) -> list[str]:
    """Say what an older checkpoint does not know, and if a detector is often wrong."""
    limits = []
    if detector.guard is None:
        limits.append(
            f"{detector.path} does not say what its calibration images were like, so "
            "no picture is told apart from them: calibrate.py adds it to a checkpoint, "
            "given enough images, and export.py takes it from there"
        )
    errors = next(iter(detector.record.error_counts.values()), None)
    if errors and errors.balanced_error > MOST_ERRORS:
        limits.append(
            f"{detector.path} is often wrong: on validation, {_count_errors(errors)}"
        )
    return limits


def describe_qualification(record: CheckpointRecord) -> list[str]:
    """Say what was found of a detector at the end of its training."""
    lines = [_describe_errors(*item) for item in record.error_counts.items()]
    lines = [f"on validation, {line}" for line in lines[:1]] + lines[1:]
    return lines + describe_choices(record)


def describe_choices(record: CheckpointRecord) -> list[str]:
    """Say what was chosen at the end of a training beside the bounds for all."""
    lines = []
    if own := ", ".join(record.zones):
        lines.append(
            "with bounds of their own, as those for all would err too often or say too "
            f"little: {own}; no ratios there"
        )
    told = record.told_conditions
    if left_out := [name for name in record.errors if name not in told]:
        lines.append(f"too few can be told: {', '.join(left_out)}; inconclusive")
    if record.track_calibration:
        policy = record.track_calibration.get("threshold_policy", "")
        lines.append(f"persons in videos have bounds and ratios of their own: {policy}")
    if record.stable_versions is not None:
        stable = ", ".join(record.stable_versions) or "none"
        lines.append(f"versions that must not get the opposite verdict: {stable}")
    return lines


def _describe_errors(name: str, errors: ErrorCounts) -> str:
    return f"images {parse_condition(name).describe()}: {_count_errors(errors)}"


def _count_errors(errors: ErrorCounts) -> str:
    return (
        f"{errors.num_alarms} of {errors.num_real} real ones called fake, "
        f"{errors.num_misses} of {errors.num_fake} fakes called real"
    )


def describe_part(part: "Part") -> str:
    """Say how good a detector is on one of the datasets of a test split."""
    low, high = (format_percent(end)[:-2] for end in part.accuracy_ends)
    return (
        f"test of {part.name}: {part.num_images} images, accuracy at the threshold "
        f"{format_percent(part.accuracy)} [{low}, {high}], AUC {part.auc.auc:.3f} "
        f"[{part.auc.low:.3f}, {part.auc.high:.3f}] (95 %)"
    )


def describe_one_class(fake_share: float | None) -> str | None:
    """Return a warning if nearly all validation images get one answer, else None."""
    if fake_share is None or max(fake_share, 1 - fake_share) < ONE_CLASS_SHARE:
        return None
    answer = CLASS_NAMES[FAKE if fake_share > 0.5 else REAL]
    percent = f"{100 * max(fake_share, 1 - fake_share):.0f} % of the validation images"
    return f"warning: the model answers {answer!r} to {percent}"


def describe_threshold(
    detector: BaseDetector, origin: str = "from the checkpoint"
) -> str:
    """Say at which P(fake) an image is called fake, and where that is from."""
    source = "the default, as the checkpoint has none of its own"
    if detector.record.threshold is not None:
        policy = detector.record.threshold_policy
        source = f"{origin}: {policy}" if policy else origin
    return f"{_format_bounds(detector.real_below, detector.threshold)} ({source})"


def _format_bounds(real_below: float, threshold: float) -> str:
    real = f", real below {real_below:.4g}" if real_below < threshold else ""
    return f"called fake at or above P(fake) = {threshold:.4g}{real}"


def describe_bounds(verdict: Verdict) -> str:
    """Say at which P(fake) a picture of its kind is called real or fake, and why."""
    detector = verdict.detector
    if verdict.condition not in detector.record.zones:
        return describe_threshold(detector)
    condition = parse_condition(verdict.condition).describe()
    return f"{_format_bounds(*verdict.zone)} (the bounds of images {condition})"


def explain_verdict(verdict: Verdict) -> list[str]:
    """Say in sentences what a verdict is worth, and what it is not.

    It is one that has a score, or on a video that shows nobody.
    """
    sentences = []
    if verdict.reasons:
        sentences.append(f"{capitalise('; '.join(verdict.reasons))}.")
    if verdict.picture.clip:
        return sentences + (_explain_track(verdict) if verdict.track else [])
    if verdict.picture.reasons:
        to_do = "Find a better one" if verdict.picture.face else "Crop the picture"
        if verdict.picture.num_faces == 0:
            to_do = "If it shows a face, crop the picture to it"
        sentences.append(
            "The detector knows pictures that are cropped to a large, upright, whole "
            f"face, and what it says of others means nothing. {to_do}, and try again."
        )
    elif verdict.doubts:
        sentences.append(
            "What the detector says of such a picture was not tried on any whose truth "
            "is known, so it gets no verdict and no ratio."
        )
    elif verdict.reasons:
        sentences.append(f"So {TOO_WEAK}.")
    if verdict.is_withheld:
        return sentences
    return [
        *sentences,
        *describe_neighbours(verdict),
        describe_ratio(verdict),
        *describe_rates(verdict),
    ]


def _explain_track(verdict: Verdict) -> list[str]:
    track, extremes = verdict.track, describe_extremes(verdict.track)
    return [
        f"{describe_time(track)}.",
        f"Frames, each alone: {describe_moments(track)}.",
        *([f"Mean logit, in {STRETCH:g} s: {extremes}."] if extremes else []),
        describe_ratio(verdict),
    ]


def describe_knowledge(detector: BaseDetector) -> str:
    """Say which fakes a detector knows, and what that means for others."""
    dataset = detector.record.dataset or "the data that it was trained on"
    kinds = detector.record.knows or f"fakes like those of {dataset}"
    return (
        f"The detector knows {kinds}. On other kinds of fakes it may be wrong without "
        "any sign of it."
    )


def describe_unlooked() -> str:
    """Say that no face was looked for, and what to do about it."""
    advice = "pip install -r requirements-faces.txt"
    if can_find_faces():
        advice = "leave out --no-find-faces"
    return f"nobody checked whether the pictures show a face, or several: {advice}"


def describe_scope(detector: BaseDetector) -> str | None:
    """Say before it judges which fakes a detector knows; None where nobody said it."""
    knows = detector.record.knows
    if not knows:
        return None
    if detector.path == STARTER:
        return (
            f"the included detector judges; it knows {knows}, and no others "
            "(starter/README.md); -cpp takes yours"
        )
    return f"{detector.path} knows {knows}, and no others"


def describe_kind(verdict: Verdict) -> str:
    """Say which validation images a picture is most like, and how large it is."""
    side = verdict.picture.side
    if not verdict.condition:
        return f"not known, {side} pixels a side"
    condition = parse_condition(verdict.condition).describe()
    return f"most like validation images {condition}; {side} pixels a side"


def describe_ratio(verdict: Verdict) -> str:
    """Say what the ratio is, or that there is none."""
    if verdict.llr is None:
        why = "ratios were not calibrated on images like this one"
        if verdict.flips and not verdict.is_withheld:
            why = "harmless versions of the picture get the opposite verdict"
        elif verdict.track and verdict.is_withheld:
            why = "the person gets no verdict"
        return f"There is no likelihood ratio: {why}."
    record = verdict.detector.record
    limit = describe_limit(verdict.llr, verdict.llr_limit, record.num_calibrated)
    return (
        f"The likelihood ratio is {format_ratio(verdict.llr)}, fake over real: "
        f"{describe_likelihood_ratio(verdict.llr)}{limit}."
    )


def describe_rates(verdict: Verdict) -> list[str]:
    """Say how often the detector errs on images like the picture; [] if not known."""
    errors = verdict.error_counts
    if errors is None:
        return []
    condition = parse_condition(verdict.condition).describe()
    return [
        f"Of validation images {condition}, which also chose the bounds of the "
        f"verdicts, {_format_share(errors.num_alarms, errors.num_real)} of the real "
        f"ones were called fake, and "
        f"{_format_share(errors.num_misses, errors.num_fake)} of the fakes real."
    ]


def _format_share(num: int, of: int) -> str:
    low, high = (100 * end for end in metrics.compute_proportion_interval(num, of))
    return f"{num:,} of {of:,} (95 % interval {low:.0f} to {high:.0f} %)"


def describe_neighbours(verdict: Verdict) -> list[str]:
    """Say how many images with such a score, which chose nothing, were fake.

    Where they were not of the picture's kind, that says nothing of it: [].
    """
    if not verdict.is_calibrated:
        return []
    rows = verdict.detector.neighbours
    if not rows:
        return [
            "How many images with such a score were fake is not known: the checkpoint "
            "was written before it was recorded; a new training records it."
        ]
    row = find_neighbours(rows, verdict.fake_score)
    num_fake, num = (sum(r[i] for r in rows) for i in (2, 3))
    low, high = map(format_fake_score, (row.lowest, row.highest))
    is_test = verdict.detector.record.reliability_split == "test"
    split = "test" if is_test else "validation"
    chose = "which chose nothing" if is_test else "which also chose the epoch"
    return [
        f"Of the {split} images, {chose}, those with the scores most like this "
        f"(P(fake) from {low} to {high}) were fake in "
        f"{_format_share(row.num_fake, row.num_samples)}.",
        f"{num_fake:,} of all {num:,} {split} images were fake. "
        f"{_WHERE_OTHERWISE[verdict.name]}",
    ]
