"""Which images the demo datasets hold, and how they appear whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

DATASETS = ("fakes_dataset", "synthetic_dataset")
MARK = "made_by_make_demo_datasets"  # a file that marks datasets to be replaced


class PlannedImage(NamedTuple):
    """One image to make: where it goes and who is on it."""

    dataset: str
    path: str  # within the dataset, such as train/fake/00001_00007.jpg
    person: int
    donor: int | None  # whose inner face is planted; None: nobody's
    is_fake: bool
    camera: int  # the n-th real and the n-th fake image have the same one
    seed: int
    size: int


def plan_dataset(
    dataset: str, *, images_per_class: int, seed: int, size: int
) -> list[PlannedImage]:
    """List the images of one demo dataset.

    People have numbers, and no two splits share a number, in both datasets.

    Args:
        dataset: one of DATASETS.
        images_per_class: training images of each class; validation has a fifth, test
            two fifths, in fakes_dataset with half as many fakes as real ones.
        seed: decides who is whose donor, and how the pictures are drawn.
        size: height and width in pixels.
    Returns:
        The pictures, split by split.
    """
    counts = {
        "train": images_per_class,
        "val": max(1, images_per_class // 5),
        "test": max(1, images_per_class * 2 // 5),
    }
    pictures, first = [], 0
    for split, count in counts.items():
        people = range(first, first + 2 * count)
        first += 2 * count
        if dataset == "fakes_dataset":
            hosts = people[: max(1, count // 2) if split == "test" else count]
            fakes = [(host, _choose_donor(host, people, seed)) for host in hosts]
        else:
            fakes = [(person, None) for person in people[count:]]
        reals = [(person, None) for person in people[:count]]
        for label, pairs in (("real", reals), ("fake", fakes)):
            for camera, (person, donor) in zip(people, pairs, strict=False):
                stem = f"{person:05d}" + ("" if donor is None else f"_{donor:05d}")
                pictures.append(
                    PlannedImage(
                        dataset=dataset,
                        path=f"{split}/{label}/{stem}.jpg",
                        person=person,
                        donor=donor,
                        is_fake=label == "fake",
                        camera=camera,
                        seed=seed,
                        size=size,
                    )
                )
    return pictures


def _choose_donor(host: int, people: range, seed: int) -> int:
    """Choose somebody else of the same split."""
    step = np.random.default_rng([seed, host]).integers(1, len(people))
    return people[(host - people[0] + int(step)) % len(people)]


def check_replaceable(path: Path) -> None:
    """Raise ValueError if there is a dataset that this module did not make."""
    if path.is_symlink() or (path.exists() and not (path / MARK).is_file()):
        raise ValueError(
            f"{path} was not made by this script and is left alone: move it "
            "away or give another --data-root"
        )


@contextmanager
def publish(dataset_path: Path) -> Iterator[Path]:
    """Lend an empty folder that becomes the dataset if all goes well.

    If it is interrupted, the dataset is there whole or not at all.
    """
    growing = dataset_path.with_name(f".{dataset_path.name}.partial")
    old = dataset_path.with_name(f".{dataset_path.name}.old")
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    (growing / MARK).touch()
    try:
        yield growing
        shutil.rmtree(old, ignore_errors=True)
        if dataset_path.exists():
            dataset_path.rename(old)
        growing.rename(dataset_path)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
