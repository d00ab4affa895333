"""From a checkpoint to all that a report says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from faces_dataset import (
    FacesDataset,
    choose_random,
    compute_fingerprint,
    count_classes,
)
from files.bounds import DATASET_NAME
from files.classes import CLASS_NAMES, FAKE
from files.names import SPLITS, list_history_paths
from hardware import Compute, show_progress
from judging.detector import Detector, build_score_set
from loading import ImageFile
from loading.sources.datasets import Source
from models import get_network
from records.history import check_run, load_history
from records.recipe import Recipe
from reporting.maps import Maps, explain_detector
from scores import find_groups, tell_apart
from scores.analysis import Analysis, analyse
from utils import load_checkpoint, open_for, open_splits, take_fold

NUM_SAMPLES = 6  # training images of each class that a page shows


@dataclass(frozen=True)
class Settings:
    """What a report is about, and how it is computed.

    Attributes:
        source: where the datasets are, and the split that is judged.
        dataset: what is judged; None: what each checkpoint was trained on.
        history_path: the run's history; None: looked for beside the checkpoint.
        seed: of the bootstrap, and of the training images that are shown.
        group_by: where groups stand in the images' names, as for `groups_from_names`.
        group_score: how a group is judged, as for `score_groups`.
    """

    source: Source
    compute: Compute
    dataset: str | None = None
    history_path: Path | None = None
    seed: int = 0
    num_resamples: int = 1000
    group_by: str | None = None
    group_score: str = "mean-logit"


class History(NamedTuple):
    """A run's record in a history file.

    Attributes:
        run: the record; empty if there is none.
        note: where it was looked for, or why it is of no use.
    """

    run: Mapping[str, Any]
    path: Path | None
    note: str


@dataclass(frozen=True)
class TrainingFacts:
    """What is known of a detector's training.

    Attributes:
        recipe: None if no flags were recorded, or train_main.py would refuse them.
        source: where its images are.
        counts: split -> class -> images.
        note: where the counts come from, and whether the files are still the same.
        samples: class -> some random training images.
    """

    recipe: Recipe | None
    source: Source
    counts: Mapping[str, Mapping[str, int]]
    note: str
    samples: Mapping[str, list[ImageFile]]
    history: History


@dataclass(frozen=True)
class Run:
    """A trained detector, judged."""

    detector: Detector
    analysis: Analysis
    training: TrainingFacts
    maps: Maps


def collect_runs(checkpoint_paths: Sequence[Path], settings: Settings) -> list[Run]:
    """Judge and explain detectors: one, or several to compare.

    Raises:
        ValueError, OSError: a file is missing or of no use; a checkpoint does not say
            what it was trained on, and no dataset is named; the history that is asked
            for does not hold the run.
    """
    source, compute = settings.source, settings.compute
    detectors = [load_checkpoint(p, device=compute.device) for p in checkpoint_paths]
    names = [settings.dataset or _get_dataset(detector) for detector in detectors]
    datasets = [
        open_for(detector, name, settings.source)
        for name, detector in zip(names, detectors, strict=True)
    ]
    trainings = [find_training(detector, settings) for detector in detectors]
    score_sets = tell_apart(
        [
            build_score_set(
                name,
                dataset,
                detector,
                detector.score(dataset, compute),
                split=source.split,
                groups=find_groups(dataset, settings.group_by),
            )
            for name, dataset, detector in zip(names, datasets, detectors, strict=True)
        ]
    )
    num_mistakes = 6 if len(detectors) == 1 else 3
    maps = [
        explain_detector(*parts, compute=compute, num_mistakes=num_mistakes)
        for parts in zip(score_sets, datasets, detectors, strict=True)
    ]
    options = {"num_resamples": settings.num_resamples, "seed": settings.seed}
    options["group_score"] = settings.group_score
    analyses = [analyse(scores, **options) for scores in show_progress(score_sets)]
    together = zip(detectors, analyses, trainings, maps, strict=True)
    return [Run(*parts) for parts in together]


def _get_dataset(detector: Detector) -> str:
    """Return the name of the dataset that a checkpoint says it was trained on."""
    name = detector.record.dataset
    if name not in DATASET_NAME:  # from a stranger: not a path
        raise ValueError(
            f"{detector.path} does not say what it was trained on: name the dataset "
            "to judge with -d"
        )
    return name


def find_training(detector: Detector, settings: Settings) -> TrainingFacts:
    """Find out how a detector was trained, from its files and the data folder.

    Raises:
        ValueError, OSError: as for `find_history`.
    """
    record = detector.record
    history = find_history(detector, settings.history_path)
    recipe = _read_recipe(detector, history)
    source = Source.from_untrusted(settings.source.data_root, record.flags)
    splits = _open_splits(record.dataset, source, recipe or Recipe())
    counts, note = _count_images(splits, history)
    samples = {}
    if splits:
        note += _compare_names(detector, splits, history)
        chosen = choose_random(splits["train"], NUM_SAMPLES, settings.seed)
        samples = {
            name: [splits["train"].get_file(index) for index in indices]
            for name, indices in zip(CLASS_NAMES, chosen, strict=True)
        }
        if recipe and recipe.splits_without_fakes:
            del samples[CLASS_NAMES[FAKE]]  # real images a second time
    return TrainingFacts(recipe, source, counts, note, samples, history)


def find_history(detector: Detector, path: Path | None) -> History:
    """Find the record of a detector's run, by the run's number, in a history file.

    Without a path the file is looked for beside the checkpoint.

    Raises:
        ValueError, OSError: the file that was given is not a history, or does not hold
            the run.
    """
    if path is not None:
        return _search(path, detector)
    paths = list_history_paths(detector.path)
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        return History({}, None, f"there is no history {paths[0]}")
    try:
        return _search(found, detector)
    except (ValueError, OSError) as error:
        return History({}, found, str(error))


def _search(path: Path, detector: Detector) -> History:
    """Return a detector's run in a history; without a number it is the newest."""
    runs = load_history(path)
    number = detector.record.run_id
    if number:
        runs = [run for run in runs if run.get("run_id") == number]
    for run in runs[-1:]:
        check_run(run, f"the run of {detector.path} in {path}")
    if not runs or not runs[-1]["train_loss"]:
        raise ValueError(
            f"the history {path} holds no finished epoch of the run that wrote "
            f"{detector.path}"
        )
    return History(runs[-1], path, "")


def _read_recipe(detector: Detector, history: History) -> Recipe | None:
    """Return the recipe that was recorded; None if the parser would refuse it."""
    flags = dict(detector.record.flags)
    if not flags:
        return None
    if "epochs" in history.run:  # they may have grown with --resume
        flags["epochs"] = history.run["epochs"]
    try:
        recipe = Recipe.from_untrusted(flags)
    except ValueError:
        return None
    if recipe.model != detector.record.model_name:
        return None
    is_refused = recipe.weights and get_network(recipe.model).load_weights is None
    return None if is_refused else recipe


def _open_splits(name: str, source: Source, recipe: Recipe) -> dict[str, FacesDataset]:
    """Open what a detector was trained on, as it was; {} if it is not there."""
    if name not in DATASET_NAME:
        return {}
    try:
        without_fakes = recipe.splits_without_fakes
        return take_fold(recipe, open_splits(name, source, without_fakes=without_fakes))
    except (ValueError, OSError):
        return {}


def _count_images(
    splits: Mapping[str, FacesDataset], history: History
) -> tuple[Mapping[str, Mapping[str, int]], str]:
    """Return split -> class -> images, and where these counts come from."""
    recorded = history.run.get("data")
    if _are_counts(recorded):
        return recorded, "The counts are those that the training recorded."
    counts = {split: count_classes(dataset) for split, dataset in splits.items()}
    if counts:
        return counts, "The counts are those of the data folder as it is now."
    return {}, "How many images there were was not recorded."


def _are_counts(value: Any) -> bool:
    """Say whether a history's counts are usable: it may be anybody's file."""
    return isinstance(value, Mapping) and all(
        split in SPLITS
        and isinstance(counts, Mapping)
        and all(type(counts.get(name)) is int for name in CLASS_NAMES)
        for split, counts in value.items()
    )


def _compare_names(
    detector: Detector, splits: Mapping[str, FacesDataset], history: History
) -> str:
    """Say whether the data folder holds the files of the training, by their names."""
    expected = detector.record.data_fingerprint
    if not expected or history.run.get("skipped_images"):
        return ""
    if compute_fingerprint(splits) == expected:
        return " The data folder still holds files of the same names."
    return (
        " The data folder holds files of other names than in the training: some were "
        "added, removed or left out since."
    )
