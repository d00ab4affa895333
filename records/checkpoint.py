"""What a checkpoint says beside its weights: one record for writers and readers.

It needs no PyTorch; whoever judges with an exported detector reads it, too.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, NamedTuple

from files.bounds import (
    COUNT_OR_NONE,
    HIDDEN_UNITS,
    RANKS,
    SHARE,
    TUNINGS,
    Bounds,
    Words,
)
from files.classes import CLASS_NAMES
from files.names import show
from files.provenance import get_versions

FORMAT_VERSION = 2
DEFAULT_THRESHOLD = 0.5
ANY_NUMBER = Bounds(-1e30, 1e30)
PERCENT = Bounds(0, 100)
# If nothing may be called fake, it lies just above all scores.
THRESHOLDS = Bounds(0, 1 + 1e-6)
# Entries that mean nothing without another one.
NEED = {"real_below": "threshold", "llr_lower": "llr_upper", "llr_upper": "llr_lower"}
KINDS = Words(r"(?!\s)[^\x00-\x1f\x7f-\x9f]{0,200}", "a line of at most 200 characters")


class _Pair:
    """Two numbers, or an empty list where they are not known."""

    def __contains__(self, value: Any) -> bool:
        is_pair = type(value) is list and len(value) in (0, 2)
        return is_pair and all(number in ANY_NUMBER for number in value)

    def __str__(self) -> str:
        return "a list of two numbers"


def _entry(default: Any, allowed: Bounds | Words | _Pair | type) -> Any:
    """Declare an entry: its default, None for unknown, and what a file may hold."""
    metadata = {"allowed": allowed}
    if isinstance(default, dict | list):
        return field(default_factory=type(default), metadata=metadata)
    return field(default=default, metadata=metadata)


class ErrorCounts(NamedTuple):
    """How often a detector erred on images under one condition.

    Attributes:
        num_alarms: real images that were called fake.
        num_misses: fakes that were called real.
    """

    num_real: int
    num_alarms: int
    num_fake: int
    num_misses: int

    @property
    def balanced_error(self) -> float:
        """Mean share of errors in both classes: 0.5 is a coin's."""
        return (self.num_alarms / self.num_real + self.num_misses / self.num_fake) / 2


@dataclass(frozen=True)
class CheckpointRecord:
    """All that is known of a trained network, except for its weights.

    Files of the original exercise hold only `val_acc`, `test_acc` and `epoch`; what a
    file does not hold has its default here.

    Attributes:
        model_name: a name in `models.NETWORKS`; '' if unknown.
        dataset: what it was trained on; '' if unknown.
        knows: what kinds of fakes it knows, in words; '' if nobody said it.
        class_names: by label.
        preprocessing: what the network expects, as `Preprocessing.to_dict` writes it.
        flags: of the training, as `Recipe.to_dict` writes them.
        data_fingerprint: of the images' names, by `faces_dataset.compute_fingerprint`.
        versions: of the suite and its packages, when it was trained.
        format_version: of the file.
        run_id: the run's number, as in the history.
        epoch: the best one, from 1.
        val_acc, test_acc: in that epoch, percent, by the larger logit.
        num_images: of how many images these are, by split.
        val_fake_share: share of the validation images whose larger logit says fake.
        temperature, logit_bias: P(fake) = sigmoid(difference / temperature + bias).
        temperature_interval: 95 % interval of the temperature that fits best.
        log_losses: on validation before and after calibration, nats.
        calibration_notes: sentences on where the calibration has its limits.
        llr_slope, llr_intercept: the line from logit differences to log-likelihood
            ratios, natural logarithm; below 0 if validation ranks fakes lower; None if
            nothing was calibrated.
        llr_lower, llr_upper: the bounds of these ratios; None if they are not known.
        threshold: the least P(fake) that is called fake; None if none was chosen.
        real_below: P(fake) below which an image is called real, and in between
            neither; None: below the threshold.
        threshold_policy: how it was chosen.
        reliability: rows of `metrics.meaning.ScoreNeighbours`.
        reliability_split: whose images these are; '' is validation.
        errors: by condition, on validation, the numbers of `ErrorCounts`.
        most_false_alarms: share of the real images that may be called fake.
        zones: by condition, the bounds of its own where those of the checkpoint would
            break the promise: P(fake) below which an image is called real, and at or
            above which it is called fake.
        kept_conditions: those on which calibration and ratios rest.
        real_differences: of validation's real images, sorted; each image's highest in
            the kept conditions.
        guard: what validation's images were like, as `judging.guarding.guard.Guard`
            writes it.
        stable_versions: of `VERSIONS` of `judging.guarding.stability`, under which
            verdicts keep; None if that is not known.
        track_calibration: entries as they are for persons in videos, chosen on the
            mean logits of validation's groups; empty where it had none.
        maps: what each kind of map was checked for, and whether it passed, as
            `explaining.shown` writes it.
        licence: of the weights that it started from; '' if unknown.
        tune, features, hidden, rank: what was trained, as `tuning.Tuning` has them;
            '' is all.
        backbone_sha256: of the weights that it started from, if some stayed frozen.
        whole: whether the file holds those as well.
    """

    model_name: str = _entry("", str)
    dataset: str = _entry("", str)
    knows: str = _entry("", KINDS)
    class_names: list[str] = _entry([], list)
    preprocessing: dict[str, Any] = _entry({}, dict)
    flags: dict[str, Any] = _entry({}, dict)
    data_fingerprint: str = _entry("", str)
    versions: dict[str, str] = _entry({}, dict)
    format_version: int = _entry(FORMAT_VERSION, COUNT_OR_NONE)
    run_id: str = _entry("", str)
    epoch: int = _entry(0, COUNT_OR_NONE)
    val_acc: float | None = _entry(None, PERCENT)
    test_acc: float | None = _entry(None, PERCENT)
    num_images: dict[str, int] = _entry({}, dict)
    val_fake_share: float | None = _entry(None, SHARE)
    temperature: float = _entry(1.0, Bounds(0, 1e6, above=True))
    temperature_interval: list[float] = _entry([], _Pair())
    logit_bias: float = _entry(0.0, ANY_NUMBER)
    log_losses: list[float] = _entry([], _Pair())
    calibration_notes: list[str] = _entry([], list)
    llr_slope: float | None = _entry(None, ANY_NUMBER)
    llr_intercept: float | None = _entry(None, ANY_NUMBER)
    llr_lower: float | None = _entry(None, Bounds(-1e30, 0))
    llr_upper: float | None = _entry(None, Bounds(0, 1e30))
    threshold: float | None = _entry(None, THRESHOLDS)
    real_below: float | None = _entry(None, THRESHOLDS)
    threshold_policy: str = _entry("", str)
    reliability: list[list[float]] = _entry([], list)
    reliability_split: str = _entry("", Words("test|", "test"))
    errors: dict[str, list[int]] = _entry({}, dict)
    most_false_alarms: float | None = _entry(None, SHARE)
    zones: dict[str, list[float]] = _entry({}, dict)
    kept_conditions: list[str] = _entry([], list)
    real_differences: list[float] = _entry([], list)
    guard: dict[str, Any] = _entry({}, dict)
    stable_versions: list[str] | None = _entry(None, list)
    track_calibration: dict[str, Any] = _entry({}, dict)
    maps: list[dict[str, Any]] | None = _entry(None, list)
    licence: str = _entry("", str)
    tune: str = _entry("", Words("|".join(TUNINGS), ", ".join(TUNINGS)))
    features: list[str] = _entry([], list)
    hidden: int | None = _entry(None, HIDDEN_UNITS)
    rank: int | None = _entry(None, RANKS)
    backbone_sha256: str = _entry("", Words("[0-9a-f]{64}|", "a SHA-256"))
    whole: bool | None = _entry(None, bool)

    @property
    def told_conditions(self) -> tuple[str, ...]:
        """The conditions under which images get verdicts."""
        return (*self.kept_conditions, *self.zones)

    @property
    def error_counts(self) -> dict[str, ErrorCounts]:
        """The errors on validation images, by condition; `none` comes first."""
        return {name: ErrorCounts(*row) for name, row in self.errors.items()}

    @property
    def num_calibrated(self) -> int:
        """How many validation images ratios rest on; 0 if that is not known."""
        for counts in self.error_counts.values():
            return counts.num_real + counts.num_fake
        return sum(row[3] for row in self.reliability)

    def to_dict(self) -> dict[str, Any]:
        """Return what is known, as plain values for a file."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        defaults = {entry.name: entry.default for entry in fields(self)}
        return {
            name: value
            for name, value in values.items()
            # Of what may be None an empty list says something.
            if value is not None and (value or defaults[name] is None or value == 0)
        }

    @classmethod
    def from_untrusted(cls, content: Mapping[Any, Any]) -> "CheckpointRecord":
        """Take the record out of a file's content, of which the rest is ignored.

        Raises:
            ValueError: an entry has a wrong type, is out of range, lacks the one that
                it needs, or names other classes.
        """
        entries = [entry for entry in fields(cls) if entry.name in content]
        record = cls(**{e.name: _check_entry(e, content[e.name]) for e in entries})
        for name, other in NEED.items():
            if getattr(record, other) is None is not getattr(record, name):
                raise ValueError(f"it has {name}, but no {other}")
        if record.class_names not in ([], list(CLASS_NAMES)):
            raise ValueError(
                f"its class_names are {show(record.class_names)}, not "
                f"{list(CLASS_NAMES)}"
            )
        return record


def _check_entry(entry: Field, value: Any) -> Any:
    """Return an entry's value; raise ValueError unless it is allowed."""
    allowed = entry.metadata["allowed"]
    is_type = isinstance(allowed, type)
    if not (type(value) is allowed if is_type else value in allowed):
        words = f"a {allowed.__name__}" if is_type else allowed
        raise ValueError(f"its {entry.name} is {show(value)}, not {words}")
    return value


def start_record(**entries: Any) -> CheckpointRecord:
    """Return what is known of a run's checkpoints when it starts."""
    names, versions = list(CLASS_NAMES), get_versions()
    return CheckpointRecord(class_names=names, versions=versions, **entries)
