"""A dataset of the Hugging Face hub, or in its format on the disk."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from files.classes import list_kinds, read_labels, read_split
from files.hub import PREFIX
from loading.image_files import ImageFile
from loading.sources.pictures import Pictures, Texts
from loading.sources.splitting import deal_rows

_NAME = re.compile(r"(?P<name>[^@]+)(@(?P<revision>[\w.-]+))?")


@dataclass(frozen=True, eq=False)
class HubPictures(Pictures):
    """The rows of one split.

    Attributes:
        title: the dataset's name.
        origin: its revision and licence, where known.
        rows: what the package `datasets` opened, whose images are not decoded.
    """

    title: str = ""
    origin: Mapping[str, str] = field(default_factory=dict)
    rows: Any = None
    image_column: str = ""

    def __str__(self) -> str:
        return self.title

    def describe_rest(self) -> str:
        """Say where the pictures come from."""
        return ", ".join(f"{name} {text}" for name, text in self.origin.items())

    def get_file(self, index: int) -> ImageFile:
        row = int(self.places["row"][index])
        image = self.rows[row][self.image_column]
        if image["bytes"] is None:
            return ImageFile(image["path"])
        return ImageFile(f"{self.title}/{self.names[index]}", image["bytes"])


def open_hub(
    name: str,
    splits: Collection[str],
    *,
    real_labels: Sequence[str] = (),
    shares: Sequence[float] | None = None,
) -> dict[str, HubPictures]:
    """Open splits of a dataset that has a column of images and one of labels.

    Args:
        name: OWNER/NAME on the hub, with @REVISION if it is not to be the newest; or a
            folder.
        real_labels: as for `files.classes.read_labels`.
        shares: of the pictures in train, val and test, where there is only one split;
            None: as `SHARES`.

    Raises:
        ValueError: the package is missing, there is no such dataset, or it is not
            clear what its images and labels are.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{PREFIX}{name} is not OWNER/NAME, with @REVISION if need be")
    found = _load(match["name"], match["revision"])
    parts = {read_split(part) or part: rows for part, rows in found.items()}
    try:
        if not set(splits) <= set(parts) and len(parts) == 1:
            whole = _open_rows(name, "train", *parts.values(), real_labels)
            groups = list(whole.columns.get("group", whole.names))
            split_of = np.array(deal_rows(groups, shares))
            whole = replace(whole, is_dealt=True)
            return {s: whole.take(np.flatnonzero(split_of == s)) for s in splits}
        if missing := [split for split in splits if split not in parts]:
            raise ValueError(f"it has no split {missing[0]}, but {', '.join(parts)}")
        return {s: _open_rows(name, s, parts[s], real_labels) for s in splits}
    except ValueError as error:
        raise ValueError(f"{PREFIX}{name}: {error}") from error


def _load(name: str, revision: str | None) -> Any:
    """Return the dataset's splits by name."""
    try:
        import datasets  # takes seconds
    except ImportError as error:
        raise ValueError(
            f"{PREFIX}{name} needs the package datasets: pip install -r "
            "requirements-datasets.txt"
        ) from error
    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # of its retries
    if name[0] in "./~" and not Path(name).is_dir():
        raise ValueError(f"there is no folder {name}")
    try:
        if (Path(name) / "dataset_dict.json").is_file():
            return datasets.load_from_disk(name)
        if (Path(name) / "state.json").is_file():  # of one split
            return {"train": datasets.load_from_disk(name)}
        return datasets.load_dataset(name, revision=revision)
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"cannot open {PREFIX}{name}: {reason}") from error


def _open_rows(
    name: str, split: str, rows: Any, real_labels: Sequence[str]
) -> HubPictures:
    """Take one split's rows, real ones first."""
    images = [n for n, f in rows.features.items() if type(f).__name__ == "Image"]
    if len(images) != 1:
        raise ValueError(f"it must have one column of images; it has {images}")
    words = _read_words(rows)
    labels = np.array(read_labels(words, real_labels), dtype=np.int64)
    order = np.argsort(labels, kind="stable")
    undecoded = type(rows.features[images[0]])(decode=False)
    rows = rows.cast_column(images[0], undecoded)
    width = len(str(len(rows)))
    columns, kinds = _read_columns(rows, images[0]), list_kinds(words, labels)
    if any(kinds):
        columns.setdefault("subset", Texts(kinds))
    pictures = HubPictures(
        Texts(f"{split}/{i:0{width}}" for i in range(len(rows))),
        labels,
        columns,
        {"row": np.arange(len(rows))},
        title=f"{PREFIX}{name}",
        rows=rows,
        image_column=images[0],
        origin=_find_origin(name, rows.info),
    )
    return pictures.take(order)


def _find_origin(name: str, info: Any) -> dict[str, str]:
    """Return which revision was opened, and under which licence, as far as is known."""
    files = " ".join(map(str, info.download_checksums or ()))
    commit = re.search(r"@([0-9a-f]{40})/", files)
    revision = commit[1] if commit else _NAME.fullmatch(name)["revision"]
    found = {"revision": revision, "licence": info.license}
    return {name: text for name, text in found.items() if text}


def _read_words(rows: Any) -> list[str]:
    """Return the rows' labels in words."""
    if "label" not in rows.features:
        raise ValueError(
            f"it has no column 'label', but {', '.join(rows.features)}: make a table "
            "of it (make_table.py)"
        )
    names = getattr(rows.features["label"], "names", None)
    return [names[x] if names else str(x) for x in rows["label"]]


def _read_columns(rows: Any, image_column: str) -> dict[str, Texts]:
    """Return the other columns of words and numbers."""
    return {
        name: Texts("" if x is None else str(x) for x in rows[name])
        for name, feature in rows.features.items()
        if name not in (image_column, "label") and hasattr(feature, "dtype")
    }
