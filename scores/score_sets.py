"""What a detector said of each image, and what is true."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import special

from files.classes import FAKE
from files.names import spell_dataset, spell_for_files
from metrics.delong import compute_delong_interval
from metrics.likelihood_ratios import fit_llr_calibration
from metrics.operating_point import choose_threshold, describe_policy
from metrics.samples import Samples, check_samples
from metrics.summary import warn_of_samples

# What scores can be, by `ScoreSet.score_name`.
ARBITRARY = "default; arbitrary"  # begins a threshold's source
PROBABILITY = "P(fake)"
LOGIT_DIFFERENCE = "logit difference"
RAW_SCORE = "score"
STORED = "chosen on validation, in the checkpoint"  # of a threshold or calibration
_LEAST_P = float(np.finfo(np.float32).eps)  # in place of a P(fake) of 0


@dataclass(frozen=True)
class ScoreSet:
    """What a detector said about each sample, and what is true.

    Attributes:
        dataset, model: what was judged, by what.
        scores: float64 (N,), what samples are ranked by, higher is more fake: from a
            checkpoint fake's logit minus real's, from elsewhere as given.
        labels: (N,) 0 real, 1 fake.
        fake_scores: float64 (N,) P(fake); None if the scores are not probabilities and
            nothing calibrates them.
        llrs: float64 (N,) calibrated log-likelihood ratios, fake over real, natural
            log; None without a calibration.
        llr_bounds: lower and upper bound of these, natural logarithm, as far as
            samples support them; infinite where not known.
        paths: (N,) each sample's name; None if nothing can be paired by name.
        keys: (N,) what samples of two sets are paired by; None for their names.
        groups: (N,) what belongs together; None for independent samples.
        subsets: (N,) the part of the data, such as a forgery method, that a sample
            belongs to; None for no parts.
        threshold: of `fake_scores` if there are any, else of `scores`.
        threshold_source, llr_source: where these come from, in words.
        unit: what the samples are called.
        detector: what to call it if model and dataset do not tell it from others.
        origin: what titles call it instead: what it was trained on.
        score_name: what `scores` are: P(fake), logit difference or score.
        provenance: what the scores were made from, for the JSON file.
        notes: sentences for the user on how the scores were read or calibrated.
        others: by name, (N,) what else the dataset says of each sample.
        flags: of the detector's training, as an untrusted checkpoint has them.
    """

    dataset: str
    model: str
    scores: np.ndarray
    labels: np.ndarray
    fake_scores: np.ndarray | None
    llrs: np.ndarray | None = None
    llr_bounds: tuple[float, float] = (-np.inf, np.inf)
    paths: Sequence[str] | None = None
    keys: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    subsets: Sequence[str] | None = None
    threshold: float = 0.5
    threshold_source: str = "default"
    unit: str = "images"
    detector: str = ""
    origin: str = ""
    split: str = ""  # where it is known
    provenance: Mapping[str, Any] = field(default_factory=dict)
    llr_source: str = ""
    score_name: str = PROBABILITY
    notes: Sequence[str] = ()
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def called_fake(self) -> np.ndarray:
        """Which samples are called fake: bool (N,)."""
        judged = self.scores if self.fake_scores is None else self.fake_scores
        return judged >= self.threshold

    @property
    def name(self) -> str:
        """The start of file names: {dataset}_{model}, and the detector if needed."""
        dataset = spell_dataset(self.dataset) + "_val" * (self.split == "val")
        model = spell_for_files(self.model)
        return "_".join(filter(None, (dataset, model, self.detector)))

    @property
    def own_name(self) -> str:
        """What titles call the detector beside its model; '' for nothing."""
        return self.origin or self.detector

    @property
    def title(self) -> str:
        """What titles and legends call it."""
        split = ", val split" if self.split == "val" else ""
        name = f" ({self.own_name})" if self.own_name else ""
        if not self.model:
            return f"{self.dataset}{name}{split}"
        return f"{self.model}{name} on {self.dataset}{split}"

    def select(self, places: Sequence[int] | np.ndarray) -> "ScoreSet":
        """Return the samples at these places, in this order, without subsets."""
        chosen: dict[str, Any] = {"subsets": None}
        names = ("scores", "labels", "fake_scores", "llrs", "paths", "keys", "groups")
        for name in names:
            values = getattr(self, name)
            if isinstance(values, np.ndarray):
                chosen[name] = values[places]
            elif values is not None:
                chosen[name] = [values[place] for place in places]
        return replace(self, **chosen)

    def check(self) -> Samples:
        """Return checked samples, or raise ValueError for what cannot be measured."""
        names = ("fake_scores", "llrs", "groups")
        columns = {name: getattr(self, name) for name in names}
        return check_samples(self.scores, self.labels, self.threshold, **columns)

    @contextmanager
    def name_errors(self) -> Iterator[None]:
        """Let each ValueError say which scores it is about."""
        try:
            yield
        except ValueError as error:
            inputs = self.provenance.get("inputs")
            where = inputs[0]["path"] if inputs else self.title
            raise ValueError(f"{where}: {error}") from error


def calibrate_on(
    scores: ScoreSet,
    validation: ScoreSet,
    *,
    max_fpr: float | None = None,
    confidence: float | None = None,
) -> ScoreSet:
    """Choose threshold, P(fake) and likelihood ratios on a detector's other scores.

    Args:
        scores: what is to be analysed.
        validation: the same detector's scores of other samples.
        max_fpr, confidence: of the threshold, as for `choose_threshold`; by default
            both errors are equally frequent.

    Returns:
        The scores, with log-likelihood ratios from a logistic regression on the
        validation scores (on their log odds if they are P(fake)), within the bounds
        that these support, and with P(fake) for the share of fakes that validation has.
        P(fake) goes on beyond the bounds, so that thresholds can tell samples apart.

    Raises:
        ValueError: for scores that cannot be measured, with too few real samples for
            the threshold, or if one of both has scores from 0 to 1 and the other not.
    """
    is_probability = {scores.score_name, validation.score_name} == {PROBABILITY}
    with validation.name_errors():
        warnings = _check_alike(scores, validation)
    given, labels = (scores.scores, validation.scores), validation.labels
    judged, seen = compute_log_odds(*given) if is_probability else given
    line = fit_llr_calibration(seen, labels)
    num_fake = np.count_nonzero(labels == FAKE)
    prior = np.log(num_fake / (labels.size - num_fake))
    with validation.name_errors():
        threshold = choose_threshold(
            special.expit(line.extrapolate(seen) + prior),
            *(labels, max_fpr),
            confidence=confidence,
        )
    where = f"{validation.detector} ({labels.size} {validation.unit})"
    return replace(
        scores,
        fake_scores=special.expit(line.extrapolate(judged) + prior),
        llrs=line.compute_llrs(judged),
        llr_bounds=line.bounds,
        threshold=threshold,
        threshold_source=f"{describe_policy(max_fpr, confidence)} on {where}",
        llr_source=f"calibrated on {where}",
        score_name=RAW_SCORE if is_probability else scores.score_name,
        notes=[*scores.notes, *(f"calibration on {where}: {w}" for w in warnings)],
        provenance={
            **scores.provenance,
            "calibrated_on": validation.provenance["inputs"],
            "llr_slope": line.slope,
            "llr_intercept": line.intercept,
            "llr_lower": line.lower,
            "llr_upper": line.upper,
        },
    )


def _check_alike(scores: ScoreSet, validation: ScoreSet) -> list[str]:
    """Check validation scores as those to analyse are; return what to beware of."""
    samples = check_samples(validation.scores, validation.labels)
    ends = [(of.scores.min(), of.scores.max()) for of in (scores, validation)]
    if len({low >= 0 and high <= 1 for low, high in ends}) > 1:
        ranges = [f"from {low:.4g} to {high:.4g}" for low, high in ends]
        raise ValueError(
            f"scores {ranges[1]} cannot calibrate scores {ranges[0]}: give P(fake) for "
            "P(fake) of the same detector, or other scores for the like"
        )
    interval = compute_delong_interval(samples.scores, samples.labels)
    return [*validation.notes, *warn_of_samples(interval[:3], samples.units)]


def compute_log_odds(*columns: np.ndarray) -> list[np.ndarray]:
    """Return log odds of columns of P(fake), finite where rounding left 0 or 1.

    These stand where float32 begins to round, or with the most certain of the others.
    """
    both = np.concatenate(columns)
    inner = both[(both > 0) & (both < 1)]
    low = min(_LEAST_P, inner.min(initial=1))
    high = 1 - min(_LEAST_P, 1 - inner.max(initial=0))
    return [special.logit(np.clip(column, low, high)) for column in columns]


def tell_apart(score_sets: Sequence[ScoreSet]) -> list[ScoreSet]:
    """Drop each detector's own name if model and dataset are name enough.

    Detectors of one model that were trained on different data get that in their titles,
    where it is known.

    Raises:
        ValueError: two sets would still be saved under one name.
    """
    counts = Counter((scores.dataset, scores.model) for scores in score_sets)
    named = [
        scores
        if counts[scores.dataset, scores.model] > 1
        else replace(scores, detector="")
        for scores in score_sets
    ]
    (name, count), *_ = Counter(scores.name for scores in named).most_common(1)
    if count > 1:
        raise ValueError(
            f"{count} inputs would be saved as {name}_*: give each once, and files of "
            "other names"
        )
    return _name_by_training(named)


def _name_by_training(score_sets: Sequence[ScoreSet]) -> list[ScoreSet]:
    """Say what detectors of one model were trained on, where that tells them apart."""
    trained = [scores.provenance.get("trained_on") for scores in score_sets]
    models = [scores.model for scores in score_sets]
    choices = Counter(model for model, _ in set(zip(models, trained, strict=True)))
    keys = [(s.dataset, s.model, on) for s, on in zip(score_sets, trained, strict=True)]
    counts = Counter(keys)
    return [
        replace(scores, origin=f"trained on {key[2]}")
        if key[2] and choices[scores.model] > 1 and counts[key] == 1
        else scores
        for scores, key in zip(score_sets, keys, strict=True)
    ]
