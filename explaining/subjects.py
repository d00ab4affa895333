"""Which images are explained: a split's most telling ones, or the user's pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import command_line
from explaining.figures import UNKNOWN, Details, Kind, Pair, Section, save_picture
from explaining.mean_maps import make_displayable
from faces_dataset import CLASS_NAMES, FAKE, REAL, FacesDataset, ResizeToTensor
from files.atomic import check_output, check_writable
from files.names import default_checkpoint_path
from hardware import Precision, choose_precision, prepare_device, show_progress
from loading import BatchLoader, read_image, read_samples
from metrics import compute_fake_scores
from trainer import compute_logits
from utils import load_checkpoint, load_dataset, refuse_broken_scores

NUM_CHECKED = 32  # images, by default
# Images of a group that are tried, for each that is shown, where maps are empty.
MOST_TRIED = 4


def add_subject_flags(parser: argparse.ArgumentParser) -> None:
    """Add --image, --choose, --class and --checks."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--image",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="explain these pictures, read as predict.py reads them, instead of a "
        "dataset's; each gets a figure of its own",
    )
    group.add_argument(
        "--choose",
        choices=("telling", "random"),
        default="telling",
        help="which test images are shown; telling: of each class the worst errors, "
        "the surest hits and typical ones; random: as --seed draws them",
    )
    parser.add_argument(
        "--class",
        dest="target",
        choices=("true", "predicted", *CLASS_NAMES),
        help="the class whose score is explained: each image's true one; the "
        "predicted one, by the checkpoint's threshold; or always real, or fake "
        "(default: true; predicted with --image)",
    )
    parser.add_argument(
        "--checks",
        type=command_line.number_type(int, lambda n: n >= 4, "a whole number from 4"),
        nargs="?",
        const=NUM_CHECKED,
        metavar="N",
        help="also test the maps of N random test images (without N: "
        f"{NUM_CHECKED}): do they change when the detector's layers are made random, "
        "does the score follow where they point, do they point at a planted face",
    )


def check_subject_flags(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
    """End with a usage error where nobody knows the true class that is asked for."""
    if args.image and not args.checkpoint_path:
        parser.error(
            "--image goes with -cpp CHECKPOINT: which detector is to judge it?"
        )
    if args.image and args.target == "true":
        parser.error(
            "--class true needs a dataset, whose folders say it; with --image give "
            "predicted, real or fake"
        )
    if args.image and args.checks:
        parser.error("--checks needs a dataset: leave out --image")


def prepare_subjects(args: argparse.Namespace) -> tuple[Subjects, BatchLoader]:
    """Load the detector and judge the images that a script's flags name.

    Args:
        args: of the flags that `saliency_map.py` and `grad_cam_analysis.py` share.

    Returns:
        The judged images, and a loader that gives them again in the same order.

    Raises:
        ValueError, OSError: a file or a folder is not there, or of no use.
    """
    precision = choose_precision(args.precision, prepare_device(args.device))
    path = args.checkpoint_path or default_checkpoint_path(args.dataset, args.model)
    model = load_checkpoint(path, args.model, precision.device)
    command_line.say(f"checkpoint: {path}")
    if args.image:
        images = Pictures(args.image, full_decoding=args.full_decoding)
    else:
        images = load_dataset(
            args.dataset,
            "test",
            data_root=args.data_root,
            limit=args.limit,
            full_decoding=args.full_decoding,
        )
    check_writable(args.figures_dir)
    options = {"device": precision.device, "workers": args.workers}
    loader = BatchLoader(images, args.batch_size, model.preprocessing, **options)
    return judge_images(loader, model, precision, target=args.target), loader


class Pictures(Dataset):
    """The user's image files as a dataset whose true classes are not known.

    Args:
        paths: the files; each sample is uint8 (3, 256, 256), as a split's are.
        full_decoding: as `ResizeToTensor` takes it.
    """

    reads_in_threads = True
    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    def __init__(self, paths: Sequence[Path], *, full_decoding: bool = False) -> None:
        self.paths = paths
        self.transform = ResizeToTensor(full_decoding=full_decoding)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = read_image(self.paths[index], at_least=self.transform.at_least)
        return self.transform(image), UNKNOWN

    def get_path(self, index: int) -> Path:
        """Return the path of the image at `index`."""
        return self.paths[index]

    def get_labels(self) -> np.ndarray:
        """Return int64 (N,), all `UNKNOWN`."""
        return np.full(len(self), UNKNOWN)


@dataclass(frozen=True)
class Subjects:
    """Images that can be explained, and what the detector says of them.

    Attributes:
        images: samples uint8 (3, 256, 256).
        model: the detector, as `utils.load_checkpoint` returns it.
        precision: arithmetic of the scores.
        labels: int (N,), the true classes, or `UNKNOWN`.
        fake_scores: float64 (N,), P(fake).
        verdicts: int (N,), what the images are called at the model's threshold.
        target: whose scores the maps explain: true, predicted, real or fake.
        targets: int (N,), the same as each image's class.
    """

    images: FacesDataset | Pictures
    model: nn.Module
    precision: Precision
    labels: np.ndarray
    fake_scores: np.ndarray
    verdicts: np.ndarray
    target: str
    targets: np.ndarray

    def describe(self) -> Details:
        """Return what titles and the JSON beside every figure say of the detector."""
        return {
            "model": self.model.title,
            "checkpoint": str(self.model.checkpoint_path),
            "precision": self.precision.name,
            "threshold": self.model.threshold,
            "class": self.target,
        }


def judge_images(
    loader: BatchLoader,
    model: nn.Module,
    precision: Precision,
    *,
    target: str | None = None,
) -> Subjects:
    """Score all images of a loader's dataset.

    Args:
        loader: of a split or of `Pictures`, in order.
        model: as `utils.load_checkpoint` returns it.
        precision: arithmetic of the scores.
        target: what to explain: true, predicted, real or fake; default the true class
            where it is known, else the predicted one.

    Raises:
        ValueError: an image cannot be read, or has no finite score.
    """
    batches = show_progress(loader, "score")
    logits, _ = compute_logits(model, batches, precision)
    refuse_broken_scores(logits, loader.dataset.get_path)
    fake_scores = compute_fake_scores(logits, model.temperature, model.logit_bias)
    labels = loader.dataset.get_labels()
    verdicts = np.where(fake_scores >= model.threshold, FAKE, REAL)
    target = target or ("predicted" if UNKNOWN in labels else "true")
    targets = {
        "true": labels,
        "predicted": verdicts,
        "real": np.full_like(labels, REAL),
        "fake": np.full_like(labels, FAKE),
    }[target]
    judged = labels, fake_scores, verdicts
    return Subjects(loader.dataset, model, precision, *judged, target, targets)


@dataclass(frozen=True)
class Group:
    """Images that are put forward for one reason.

    Attributes:
        reason: class and reason, for a heading.
        label: the images' class.
        indices: int (n,), the most telling first.
    """

    reason: str
    label: int
    indices: np.ndarray


def rank_images(subjects: Subjects, choose: str, seed: int) -> list[Group]:
    """Rank a split's images for display: `telling`, or `random` as `seed` draws."""
    if choose == "telling":
        return rank_telling(subjects)
    return rank_random(subjects, seed)


def rank_telling(subjects: Subjects) -> list[Group]:
    """Rank each class's errors, its hits, and all of it by how typical it is.

    Errors begin with the score that is furthest on the wrong side, hits with the
    surest; typical is what scores near the class's median.
    """
    groups = []
    for label, name in enumerate(CLASS_NAMES):
        of_class = np.flatnonzero(subjects.labels == label)
        scores = subjects.fake_scores[of_class]
        sureness = scores if label == FAKE else -scores
        worst_first = of_class[np.argsort(sureness, kind="stable")]
        surest_first = of_class[np.argsort(-sureness, kind="stable")]
        distances = np.abs(scores - np.median(scores))
        typical = of_class[np.argsort(distances, kind="stable")]
        errors = worst_first[subjects.verdicts[worst_first] != label]
        hits = surest_first[subjects.verdicts[surest_first] == label]
        other = CLASS_NAMES[1 - label]
        groups += [
            Group(f"{name} called {other}, worst errors", label, errors),
            Group(f"{name} called {name}, surest hits", label, hits),
            Group(f"{name}, typical (nearest the median score)", label, typical),
        ]
    return groups


def rank_random(subjects: Subjects, seed: int) -> list[Group]:
    """Put each class into a random order."""
    order = np.random.default_rng(seed).permutation(len(subjects.labels))
    return [
        Group(f"{name}, random", label, order[subjects.labels[order] == label])
        for label, name in enumerate(CLASS_NAMES)
    ]


def explain_image(
    subjects: Subjects,
    index: int,
    *,
    compute_maps: Callable[[Tensor, Tensor], Tensor],
    kind: Kind,
) -> Pair:
    """Compute the map of the image at `index`.

    Args:
        subjects: the images.
        index: of the image.
        compute_maps: from samples (1, 3, H, W) and classes (1,) to maps (1, H, W).
        kind: of the maps.
    """
    sample = subjects.images[index][0]
    target = int(subjects.targets[index])
    (values,) = compute_maps(sample[None], torch.tensor([target])).cpu().numpy()
    image = make_displayable(sample, subjects.model)
    return Pair(
        path=str(subjects.images.get_path(index)),
        image=image,
        map=values,
        picture=kind.draw(image, values),
        label=int(subjects.labels[index]),
        verdict=int(subjects.verdicts[index]),
        target=target,
        fake_score=float(subjects.fake_scores[index]),
    )


def explain_groups(
    groups: Sequence[Group], num: int, explain: Callable[[int], Pair]
) -> list[Section]:
    """Explain the first images of each group, no image twice.

    An image with an empty map, or nearly so, gives way to the group's next one, among
    the first 4 `num`; where all are, they are shown. Headings say how many gave way.

    Args:
        groups: as `rank_telling` or `rank_random` returns them.
        num: how many images of each group are shown, where it has so many.
        explain: from an index to its pair.

    Returns:
        A section for each group that has an image to show.
    """
    sections, taken = [], []
    for group in show_progress(groups, "maps"):
        candidates = group.indices[~np.isin(group.indices, taken)][: MOST_TRIED * num]
        found, empty = [], []
        for index in candidates.tolist():
            taken.append(index)
            pair = explain(index)
            (empty if pair.is_empty else found).append(pair)
            if len(found) == num:
                break
        pairs = (found + empty)[:num]
        num_passed_over = len(found) + len(empty) - len(pairs)
        if pairs:
            heading = f"{group.reason}: {len(pairs)} of {len(group.indices)}"
            if num_passed_over:
                heading = (
                    f"{heading} (passed over, nearly empty maps: {num_passed_over})"
                )
            sections.append(Section(heading, group.label, pairs))
    return sections


def draw_pictures(
    subjects: Subjects,
    explain: Callable[[int], Pair],
    kind: Kind,
    *,
    folder: Path,
    details: Details,
) -> None:
    """Draw each of the user's pictures with its map, in a figure of its own.

    Args:
        subjects: the pictures.
        explain: from an index to its pair.
        kind: of the maps.
        folder: where the figures go.
        details: what the JSON files say besides.

    Raises:
        ValueError, OSError: as `name_pictures` does, before anything is written.
    """
    paths = [subjects.images.get_path(i) for i in range(len(subjects.images))]
    starts = name_pictures(paths, folder / subjects.model.title, kind)
    for index, start in enumerate(starts):
        save_picture(start, explain(index), kind, details)


def name_pictures(paths: Sequence[Path], start: Path, kind: Kind) -> list[str]:
    """Return what each picture's files are called, less their `.png` and `.json`.

    Raises:
        ValueError: two pictures would share a figure, or a figure would replace one.
        OSError: the folder cannot be written.
    """
    starts = [f"{start}_{path.stem}_{kind.name}_map" for path in paths]
    for number, start in enumerate(starts):
        if start in starts[:number]:
            twin = paths[starts.index(start)]
            raise ValueError(
                f"{twin} and {paths[number]} would both be drawn as {start}.png; "
                "explain one at a time, each with its own --figures-dir"
            )
        check_output(Path(f"{start}.png"), paths)
    return starts
