"""Which images the demo datasets hold, and how they get into place in one piece."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from files.atomic import save_json

DATASETS = ("fakes_dataset", "synthetic_dataset")

MANIFEST = "demo_datasets.json"

RECIPE = 1  # to be raised when the drawing changes, so that older demo data is seen


class Picture(NamedTuple):
    """One image to make: where it goes and who is on it."""

    dataset: str
    path: str  # within the dataset, such as train/fake/00001_00007.jpg
    person: int
    donor: int | None  # whose inner face is planted; None where nobody's is
    is_fake: bool
    camera: int  # the n-th real and the n-th fake image are taken with the same one
    seed: int
    size: int


def plan_dataset(
    dataset: str, *, images_per_class: int, seed: int, size: int
) -> list[Picture]:
    """List the images of one demo dataset.

    People have numbers, and the numbers of each split are its own, in both datasets.

    Args:
        dataset: one of DATASETS.
        images_per_class: training images a class; validation has a fifth, test two
            fifths, and the test split of fakes_dataset half as many fakes as real.
        seed: decides who is whose donor, and is handed on to the drawing.
        size: height and width in pixels, handed on to the drawing.
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
                    Picture(
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


def is_made(
    data_root: Path, dataset: str, pictures: Sequence[Picture], settings: dict
) -> bool:
    """Tell whether a dataset of these settings lies there whole."""
    if _read_manifest(data_root).get(dataset) != settings | {"recipe": RECIPE}:
        return False
    folder = data_root / dataset
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")}
    return there == {picture.path for picture in pictures}


def refuse_foreign(data_root: Path, dataset: str, *, overwrite: bool) -> None:
    """Raise ValueError where making a dataset would destroy what lies there.

    Args:
        data_root: the folder that holds the datasets.
        dataset: its name.
        overwrite: allow replacing what this script made, but nothing else.
    """
    folder = data_root / dataset
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or dataset not in _read_manifest(data_root):
        raise ValueError(
            f"{folder} was not made by this script and is left alone: move it away or "
            f"give another --data-root"
        )
    if not overwrite:
        raise ValueError(
            f"{folder} holds demo data of other settings, or was changed: give "
            f"--overwrite to make it anew, or another --data-root"
        )


@contextmanager
def publish(data_root: Path, dataset: str, settings: dict) -> Iterator[Path]:
    """Lend an empty folder that becomes the dataset if all goes well.

    Whenever it is interrupted, the dataset is afterwards there whole or not at all.
    """
    final, growing, old = (
        data_root / dataset,
        data_root / f".{dataset}.partial",
        data_root / f".{dataset}.old",
    )
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    try:
        yield growing
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            final.rename(old)
        _record(data_root, dataset, settings)
        growing.rename(final)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _record(data_root: Path, dataset: str, settings: dict) -> None:
    """Write down how a dataset was made, beside it."""
    made = _read_manifest(data_root) | {dataset: settings | {"recipe": RECIPE}}
    save_json(made, data_root / MANIFEST)


def _read_manifest(data_root: Path) -> dict:
    """Read how the datasets were made; nothing is known where there is no file."""
    path = data_root / MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): remove it") from error
    if not isinstance(manifest, dict):
        raise ValueError(f"{path} is not a JSON object: remove it")
    return manifest
