"""A detector laid out for a model hub: its card, weights, record and hashes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from explaining.shown import describe_checked
from files.atomic import save_json, save_text
from files.bounds import Words
from files.classes import CLASS_NAMES
from files.hub import PREFIX, RECORD, import_package
from files.names import SAFE_SUFFIX, format_percent, spell_for_files
from files.provenance import VERSION, describe_file, format_now, get_versions
from files.tensors import to_plain
from judging.detector import Detector
from judging.words import describe_knowledge, describe_threshold
from loading.disturbances import parse_condition
from loading.sources.datasets import Source
from metrics.all_metrics import list_columns
from metrics.error_rates import compute_proportion_interval
from metrics.verdicts import RATES
from models import BUILT_IN, TIMM
from plots.pages import render_page
from plots.style import format_with_interval
from records.checkpoint import CheckpointRecord
from records.checkpoint_files import read_checkpoint, save_checkpoint
from records.recipe import Recipe
from reporting.words import ETHICS, OUT_OF_SCOPE
from utils import read_whole

TEMPLATE = Path(__file__).with_name("card.md")
CARD, SUMS = "README.md", "SHA256SUMS"
FORMAT = 1  # of the record
LICENCE = Words(r"[a-z0-9][a-z0-9.-]{0,50}", "a licence as hubs spell it, such as mit")
REPOSITORY = Words(r"[\w.-]{1,96}/[\w.-]{1,96}", "OWNER/NAME")
UNKNOWN = "other"  # what a hub calls a licence that it does not list
_TASK = "image-classification"
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True)
class Publication:
    """What its author says of a detector that is laid out.

    Attributes:
        repository: where it will be, OWNER/NAME; None if it stays a folder.
        licence: of the weights, as hubs spell it.
        measured: what numerical_analysis.py and robustness_analysis.py found, as
            `load_measured` returns it.
        about: what nobody else knows, in Markdown.
        knows: what kinds of fakes it knows, in words; '' if its record says all.
        with_frozen: whether the weights that stayed frozen are laid out as well.
    """

    repository: str | None = None
    licence: str = UNKNOWN
    measured: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    about: str = ""
    knows: str = ""
    with_frozen: bool = True


class CardRow(NamedTuple):
    """A number: what it is, of which images, of how many, with its interval."""

    name: str
    images: str
    count: str
    value: str


def load_measured(path: Path, detector: Detector) -> dict[str, Any]:
    """Load a file of a detector's numbers, at home or under conditions.

    Returns:
        The numbers, but not where on this machine they are from; of a
        robustness_analysis.py of several detectors those of this one.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not such a file, or is of another checkpoint.
    """
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))
        inputs = numbers["provenance"]["inputs"]
        digests = [file["sha256"] for file in inputs]
        own = detector.provenance["sha256"]
        if "detectors" in numbers and own in digests:
            numbers |= numbers.pop("detectors")[digests.index(own)]
            _ = _tabulate_conditions(numbers)
        elif "detectors" not in numbers:
            _ = [float(numbers[metric.name] or 0) for metric in list_columns("paper")]
    except (*_DAMAGE, RecursionError) as error:
        raise ValueError(
            f"{path} does not hold a detector's numbers: name a file "
            "DATASET_MODEL_metrics.json of numerical_analysis.py, or "
            "DATASET_MODEL_robustness.json of robustness_analysis.py"
        ) from error
    if own not in digests:
        raise ValueError(
            f"{path} holds the numbers of another checkpoint than {detector.path}, "
            f"whose SHA-256 starts with {own[:12]}: measure this one"
        )
    private = ("provenance", "checkpoint")
    return {name: of for name, of in numbers.items() if name not in private}


def save_publication(
    detector: Detector, publication: Publication, folder: Path
) -> None:
    """Write card, weights, record and hashes into a folder that is there.

    Raises:
        OSError, ValueError: a file cannot be written, or a package is missing.
    """
    if publication.with_frozen:
        state, record = read_whole(detector)
    elif detector.record.whole is False:
        state, record = read_checkpoint(detector.path)
    else:
        raise ValueError(f"{detector.path} has no frozen weights to leave out")
    record = _hide_folders(record)
    record = replace(record, knows=publication.knows or record.knows)
    stem = spell_for_files(detector.path.stem).lstrip(".+-") or "detector"
    weights = folder / f"{stem}{SAFE_SUFFIX}"
    save_checkpoint(state, record, weights)
    files = {weights.name: _describe(weights)}
    about = {
        "format": FORMAT,
        "published": {"date": format_now(), "versions": get_versions()},
        "weights": {"file": weights.name, **files[weights.name]},
        "record": _leave_arrays_out(record.to_dict()),
        "measured": list(publication.measured),
    }
    save_json(about, folder / RECORD)
    files[RECORD] = _describe(folder / RECORD)
    save_text(
        build_card(replace(detector, record=record), publication, files), folder / CARD
    )
    files[CARD] = _describe(folder / CARD)
    sums = [f"{file['sha256']}  {name}\n" for name, file in files.items()]
    save_text("".join(sums), folder / SUMS)


def _leave_arrays_out(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without its guard's arrays, a million numbers for no reader."""
    guard = record.get("guard") or {}
    kept = {name: value for name, value in guard.items() if name != "likenesses"}
    return to_plain({**record, "guard": kept})


def build_card(
    detector: Detector, publication: Publication, files: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the model card: Markdown under the header that hubs read.

    `files` are by name their `sha256` and `bytes`.
    """
    record = detector.record
    return render_page(
        TEMPLATE,
        header=_build_header(detector, publication),
        title=_name(detector),
        publication=publication,
        record=record,
        version=VERSION,
        command=record.flags and _format_training(record.flags),
        needs_timm=record.model_name.startswith(TIMM),  # which reads safetensors, too
        is_own=_is_own(record.model_name),
        weights=next((n for n in files if n.endswith(SAFE_SUFFIX)), "FILE"),
        rows=[map(_clean, row) for row in list_accuracies(record)],
        errors=list_errors(record),
        measured=[_tabulate(numbers) for numbers in publication.measured],
        threshold=describe_threshold(detector),
        neighbours=detector.neighbours,
        maps=describe_checked(record.maps),
        knowledge=describe_knowledge(detector),
        out_of_scope=OUT_OF_SCOPE,
        ethics=ETHICS,
        files=files,
        share=_format_share,
    )


def _is_own(model: str) -> bool:
    """Say whether a network is its maker's own, neither timm's nor the suite's."""
    return model not in ("", *BUILT_IN) and not model.startswith(TIMM)


def _format_training(flags: Mapping[str, Any]) -> str:
    """Return the command of a training, but for where its data lay."""
    source = Source.from_untrusted(Path(), flags)
    return Recipe.from_untrusted(flags).format_command(*source.to_words()[2:])


def list_accuracies(record: CheckpointRecord) -> list[CardRow]:
    """Return the accuracies that a record holds, each with its number of images."""
    rows = []
    nums = {n: of for n, of in record.num_images.items() if type(of) is int and of > 0}
    for split, accuracy, num in (
        ("validation, which chose the epoch", record.val_acc, nums.get("val")),
        ("test", record.test_acc, nums.get("test")),
    ):
        if accuracy is not None:
            share = accuracy / 100
            value = _format_share(round(share * num), num) if num else None
            value = value or f"{format_percent(share)}, how many images is not recorded"
            count = f"{round(share * num):,} of {num:,}" if num else "-"
            rows.append(CardRow("accuracy, by the larger logit", split, count, value))
    return rows


def list_errors(record: CheckpointRecord) -> list[tuple[str, str, str]]:
    """Return a row for each condition: validation images, false alarms and misses."""
    rows = []
    for name, errors in record.error_counts.items():
        false_alarms = errors.num_alarms, errors.num_real
        cells = (
            f"{num:,} of {of:,}, {_format_share(num, of)}"
            for num, of in (false_alarms, (errors.num_misses, errors.num_fake))
        )
        rows.append((parse_condition(name).describe(), *cells))
    return rows


def _tabulate(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return title, header and rows of a table of measured numbers."""
    title = _describe_images(numbers)
    if "conditions" in numbers:
        return {"title": f"{title}, disturbed", **_tabulate_conditions(numbers)}
    rows = [
        (metric.words, format_with_interval(numbers, metric.name))
        for metric in list_columns("paper")
    ]
    return {"title": title, "header": ("", "value"), "rows": rows}


def _tabulate_conditions(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return header and rows of what each condition leaves of a detector."""
    names = ("told_false_alarms", "told_misses", "inconclusive")
    at_home, rows = True, []
    for levels in numbers["conditions"].values():
        for found in levels if at_home else levels[1:]:  # each begins as they are
            cells = [parse_condition(found["condition"]).describe()]
            for name in names:
                num, of = found[f"{name}_counts"]
                share = f", {_format_share(num, of)}" if of else ""
                cells.append(f"{num:,} of {of:,}{share}")
            rows.append((*cells, format_with_interval(found, "auc")))
            at_home = False
    return {"header": ("images", *(RATES[name] for name in names), "AUC"), "rows": rows}


def _describe_images(numbers: Mapping[str, Any]) -> str:
    """Say which images numbers are of, and how many of each class."""
    where = " ".join(str(numbers.get(name, "")) for name in ("dataset", "split"))
    images = numbers.get("images", {})
    num_real, num_fake = (
        numbers.get(f"num_{name}", images.get(name)) for name in CLASS_NAMES
    )
    counts = f"{num_real} real, {num_fake} fake"
    return _clean(f"{where.strip() or 'images'} ({counts})")


def _build_header(detector: Detector, publication: Publication) -> str:
    """Return the card's header in YAML, without its lines of hyphens."""
    hub, record = import_package("a model card"), detector.record
    shared = {"task_type": _TASK, "dataset_type": "images"}
    results = [
        hub.EvalResult(
            **shared,
            dataset_name=_describe_images(numbers),
            metric_type=kind,
            metric_name=name,
            metric_value=numbers[name],
        )
        for numbers in publication.measured
        if "conditions" not in numbers
        for kind, name in (("roc_auc", "auc"), ("accuracy", "accuracy"))
        if numbers[name] is not None
    ]
    if record.test_acc is not None:
        results.append(
            hub.EvalResult(
                **shared,
                dataset_name=f"{record.dataset or 'unknown'} test",
                metric_type="accuracy",
                metric_name="accuracy by the larger logit",
                metric_value=record.test_acc / 100,
            )
        )
    of_hub = [record.dataset.removeprefix(PREFIX).partition("@")[0]]
    return hub.ModelCardData(
        license=publication.licence,
        library_name="pytorch",
        pipeline_tag=_TASK,
        tags=["deepfake-detection", "face-forensics", record.model_name],
        datasets=of_hub if _is_on_hub(record.dataset) else None,
        metrics=["roc_auc", "accuracy"] if publication.measured else ["accuracy"],
        model_name=_name(detector),
        eval_results=results or None,
    ).to_yaml()


def _name(detector: Detector) -> str:
    dataset = detector.record.dataset or "data that were not recorded"
    return _clean(f"{detector.title} trained on {dataset}")


def _hide_folders(record: CheckpointRecord) -> CheckpointRecord:
    """Return a record with the names of files and datasets, but not their folders."""
    flags, dataset = dict(record.flags), record.dataset
    if isinstance(flags.get("weights"), str):
        flags["weights"] = PurePath(flags["weights"]).name
    if dataset.startswith(PREFIX) and not _is_on_hub(dataset):
        dataset = PurePath(dataset.removeprefix(PREFIX)).name
        flags = {n: dataset if n == "dataset" else of for n, of in flags.items()}
    return replace(record, flags=flags, dataset=dataset)


def _is_on_hub(dataset: str) -> bool:
    """Say whether a dataset is one of the hub, not a folder of somebody's."""
    name = dataset.removeprefix(PREFIX).partition("@")[0]
    return dataset.startswith(PREFIX) and name in REPOSITORY and name[0] not in ".~"


def _format_share(num: int, of: int) -> str:
    ends = map(format_percent, compute_proportion_interval(num, of))
    return f"{format_percent(num / of)} [{', '.join(ends)}]"


def _clean(text: str) -> str:
    """Return a text for the cell of a table: one line, and no cell's border."""
    return " ".join(text.split()).replace("|", "\\|")


def _describe(path: Path) -> dict[str, Any]:
    """Return a file's SHA-256 and size."""
    digest = describe_file(path)["sha256"]
    return {"sha256": digest, "bytes": path.stat().st_size}
