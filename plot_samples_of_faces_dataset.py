"""Draw random real and fake faces of datasets: those named, or all under a folder."""

import argparse
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import command_line
from command_line.compute import take_source

import numpy as np
from PIL.Image import Image

from faces_dataset import choose_random, count_classes
from files.atomic import check_writable, save_json
from files.classes import CLASS_NAMES, FAKE, REAL
from files.names import SPLITS
from loading.augmentation import degrade
from loading.self_blending import self_blend
from loading.sources.datasets import Source, find_dataset, list_datasets, list_splits
from plots.style import CLASS_COLORS, Figure, make_drawable, save_figure
from utils import open_source

NUM_SAMPLES = 8  # of each class of each dataset
EDGE = 192  # pixels of an image in the figure

# What train_main.py can make of a real image -> how, and the label that it then has.
CHANGES = {"--self-blend": (self_blend, FAKE), "--augment robust": (degrade, REAL)}

EPILOG = """examples:
  python plot_samples_of_faces_dataset.py
  python plot_samples_of_faces_dataset.py -d fakes_dataset --augmented

writes, to the folder of figures:
  datasets_samples.png    a row for each dataset and class, of training images
  datasets_samples.json   which images they are"""


@dataclass(frozen=True)
class ImageRow:
    """Random images of one class of a dataset.

    Attributes:
        class_name: real or fake; or what was done to the real ones.
        label: what a training calls them.
        num_images: how many there are to choose from.
        names, images: of the chosen ones, RGB, all of one size.
    """

    dataset: str
    split: str
    class_name: str
    label: int
    num_images: int
    names: list[str]
    images: list[Image]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_dataset_flag(
        parser, None, several=True, default_words="all under --data-root"
    )
    parser.add_argument(
        "--augmented",
        action="store_true",
        help="also draw what train_main.py --self-blend and --augment robust make of "
        "the real images",
    )
    command_line.add_seed_flag(parser)
    command_line.add_figures_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    rows = choose_rows(take_source(args), args.seed, args.dataset)
    if args.augmented:
        rows = add_changed_rows(rows, args.seed)
    check_writable(args.figures_dir)
    path = args.figures_dir / "datasets_samples.png"
    save_figure(build_figure(rows), path)
    numbers = [
        {"dataset": row.dataset, "split": row.split, "class": row.class_name}
        | {"num_images": row.num_images, "paths": row.names}
        for row in rows
    ]
    save_json({"seed": args.seed, "rows": numbers}, path.with_suffix(".json"))
    command_line.say(f"wrote {path}", f"wrote {path.with_suffix('.json')}")


def choose_rows(
    source: Source, seed: int, names: Sequence[str] | None = None
) -> list[ImageRow]:
    """Choose random images of both classes of datasets.

    They are of the training split, or of the next one that a dataset has. Other
    datasets do not change the choice.

    Args:
        names: of datasets, as `open_splits` takes them; None: all that are there.

    Raises:
        FileNotFoundError: there is no dataset, or none of a name.
        ValueError: a class is empty, or an image cannot be read.
    """
    is_named, names = bool(names), names or list_datasets(source.data_root)
    if not names:
        raise FileNotFoundError(
            f"there is no dataset under {source.data_root}; name another folder with "
            "--data-root, or make examples with make_demo_datasets.py"
        )
    rows = []
    for name in names:
        try:
            rows += _choose_rows_of(name, source, seed)
        except (OSError, ValueError) as error:
            others = [other for other in names if other != name]
            if is_named or not others:
                raise
            raise ValueError(
                f"{error}; to leave it out, name the others: -d {' '.join(others)}"
            ) from error
    return rows


def _choose_rows_of(name: str, source: Source, seed: int) -> list[ImageRow]:
    rows, path = [], find_dataset(name, source.data_root)
    split = ((path and list_splits(path)) or SPLITS)[0]
    source = replace(source, split=split)
    if path and path.is_dir():  # its labels and splits are its folders
        source = replace(source, real_labels=(), shares=None)
    dataset = open_source(name, source)
    dataset.transform = None
    counts = count_classes(dataset)
    own_seed = [seed, zlib.crc32(name.encode(errors="surrogateescape"))]
    for label, indices in enumerate(choose_random(dataset, NUM_SAMPLES, own_seed)):
        class_name, chosen = CLASS_NAMES[label], list(map(dataset.get_name, indices))
        images = [dataset[index][0].resize((EDGE, EDGE)) for index in indices]
        where = name, split, class_name, label, counts[class_name]
        rows.append(ImageRow(*where, chosen, images))
    return rows


def add_changed_rows(rows: Sequence[ImageRow], seed: int) -> list[ImageRow]:
    """Put behind each row of real images what a training can make of them."""
    result = []
    for row in rows:
        result.append(row)
        changes = CHANGES if row.label == REAL else {}
        for number, (flag, (change, label)) in enumerate(changes.items()):
            generator = np.random.default_rng([seed, number])
            images = [change(image, generator) for image in row.images]
            name = f"real, changed by {flag}"
            result.append(replace(row, class_name=name, label=label, images=images))
    return result


def build_figure(rows: Sequence[ImageRow]) -> Figure:
    """Draw the rows below each other, each under its dataset and class."""
    size = 1.1 * NUM_SAMPLES, 1.38 * len(rows) + 0.4
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle("Random images of each dataset")
    strips = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for strip, row in zip(strips, rows, strict=True):
        title = f"{row.dataset}, {row.split} split: {row.class_name}"
        title = f"{title} ({len(row.images)} of n = {row.num_images})"
        color = CLASS_COLORS[row.label]
        strip.suptitle(make_drawable(title), color=color, fontsize=11)
        cells = strip.subplots(1, NUM_SAMPLES)
        for axes in cells:
            axes.set_axis_off()
        for axes, image in zip(cells, row.images, strict=False):
            axes.imshow(image)
    return figure


if __name__ == "__main__":
    command_line.run(main)
