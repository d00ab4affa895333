"""Open all splits of a dataset, with their unreadable images refused or left out."""

from __future__ import annotations

from pathlib import Path

from faces_dataset import SPLITS, FacesDataset
from image_cache import CachedImages
from image_checks import check_images, describe_bad_images
from utils import load_dataset


def open_splits(
    name: str,
    *,
    data_root: Path,
    limit: int | None = None,
    check: str = "auto",
    skip_bad_images: bool = False,
) -> tuple[dict[str, FacesDataset], dict[str, list[str]]]:
    """Open the training, validation and test split of a dataset.

    Args:
        name: the dataset's folder under `data_root`.
        data_root: folder that holds the datasets.
        limit: use only the first `limit` images of each class and split.
        check: how to look for unreadable images, as `image_checks.check_images`.
        skip_bad_images: leave them out instead of refusing the dataset.

    Returns:
        The datasets by split, and for each split with images left out their names.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a class is empty, or images cannot be read.
    """

    def open_split(split: str, exclude: frozenset[str] = frozenset()) -> FacesDataset:
        return load_dataset(
            name, split, data_root=data_root, limit=limit, exclude=exclude
        )

    datasets = {split: open_split(split) for split in SPLITS}
    bad = check_images(datasets, check)
    if bad and not skip_bad_images:
        raise ValueError(
            f"{describe_bad_images(bad)}; mend or remove them, or leave them out with "
            "--skip-bad-images"
        )
    skipped = {split: [image.name for image in images] for split, images in bad.items()}
    for split, names in skipped.items():
        datasets[split] = open_split(split, frozenset(names))
    return datasets, skipped


def cache_splits(
    datasets: dict[str, FacesDataset], max_gib: float, *, shared: bool
) -> dict[str, FacesDataset | CachedImages]:
    """Keep decoded images of all splits in memory, each split its share of the room.

    Args:
        datasets: by split.
        max_gib: bound on the memory of all of them; 0 keeps nothing.
        shared: whether worker processes read the images.
    """
    if not max_gib:
        return dict(datasets)
    bytes_an_image = max_gib * 2**30 / sum(map(len, datasets.values()))
    return {
        split: CachedImages(dataset, int(bytes_an_image * len(dataset)), shared=shared)
        for split, dataset in datasets.items()
    }
