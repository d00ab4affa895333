"""Draw random real and fake faces of every dataset under a folder."""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL.Image import Image

import command_line
from faces_dataset import CLASS_NAMES, FAKE, REAL, SPLITS, FacesDataset
from files.atomic import check_writable, save_json
from loading.augmentation import degrade
from loading.self_blending import self_blend
from plots.style import FAKE_COLOR, REAL_COLOR, escape_dollars, save_figure
from utils import list_datasets

NUM_SAMPLES = 8  # of each class of each dataset
EDGE = 192  # pixels of an image in the figure

# What train_main.py can make of a real image.
CHANGES = {"--self-blend": self_blend, "--augment robust": degrade}

FAKE_NAMES = (CLASS_NAMES[FAKE], "real, changed by --self-blend")

EPILOG = """examples:
  python plot_samples_of_faces_dataset.py
  python plot_samples_of_faces_dataset.py --augmented

writes, to the folder of figures:
  datasets_samples.png    a row for each dataset and class, of training images
  datasets_samples.json   which images they are"""


@dataclass(frozen=True)
class Row:
    """Random images of one class of a dataset.

    Attributes:
        dataset: the dataset's name.
        split: where the images are from.
        class_name: real or fake; or what was done to the real ones.
        num_images: how many there are to choose from.
        paths: the chosen ones.
        images: the same, RGB, all of one size.
    """

    dataset: str
    split: str
    class_name: str
    num_images: int
    paths: list[str]
    images: list[Image]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_root_flag(parser)
    parser.add_argument(
        "--limit",
        type=command_line.positive_int,
        metavar="N",
        help="choose from the first N images of each class",
    )
    parser.add_argument(
        "--augmented",
        action="store_true",
        help="draw too what train_main.py --self-blend and --augment robust make of "
        "the real images",
    )
    command_line.add_seed_flag(parser)
    command_line.add_figures_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    rows = choose_rows(args.data_root, args.seed, limit=args.limit)
    if args.augmented:
        rows = add_changed_rows(rows, args.seed)
    check_writable(args.figures_dir)
    path = args.figures_dir / "datasets_samples.png"
    save_figure(build_figure(rows), path)
    numbers = [
        {
            "dataset": row.dataset,
            "split": row.split,
            "class": row.class_name,
            "num_images": row.num_images,
            "paths": row.paths,
        }
        for row in rows
    ]
    save_json({"seed": args.seed, "rows": numbers}, path.with_suffix(".json"))
    command_line.say(f"wrote {path}", f"wrote {path.with_suffix('.json')}")


def choose_rows(
    data_root: str | Path, seed: int, *, limit: int | None = None
) -> list[Row]:
    """Choose random images of both classes of every dataset under `data_root`.

    They are of the training split, or of the next one that a dataset has.

    Raises:
        FileNotFoundError: there is no dataset.
        ValueError: a class is empty, or an image cannot be read.
    """
    names = list_datasets(data_root)
    if not names:
        raise FileNotFoundError(
            f"there is no dataset under {data_root}; name another folder with "
            "--data-root, or make examples with make_demo_datasets.py"
        )
    rows = []
    for name in names:
        folder = Path(data_root) / name
        split = next(split for split in SPLITS if (folder / split).is_dir())
        dataset = FacesDataset(folder / split, limit=limit)
        rows += [_choose_row(dataset, label, name, seed) for label in (REAL, FAKE)]
    return rows


def _choose_row(dataset: FacesDataset, label: int, name: str, seed: int) -> Row:
    """Choose random images of a class; other datasets do not change the choice."""
    indices = np.flatnonzero(dataset.get_labels() == label).tolist()
    generator = random.Random(f"{seed} {name} {label}")
    chosen = generator.sample(indices, min(NUM_SAMPLES, len(indices)))
    return Row(
        name,
        dataset.root_path.name,
        CLASS_NAMES[label],
        len(indices),
        [str(dataset.get_path(index)) for index in chosen],
        [dataset[index][0].resize((EDGE, EDGE)) for index in chosen],
    )


def add_changed_rows(rows: Sequence[Row], seed: int) -> list[Row]:
    """Put behind each row of real images what a training can make of them."""
    result = []
    for row in rows:
        result.append(row)
        for number, (flag, change) in enumerate(CHANGES.items()):
            if row.class_name == CLASS_NAMES[REAL]:
                generator = np.random.default_rng([seed, number])
                images = [change(image, generator) for image in row.images]
                name = f"real, changed by {flag}"
                result.append(replace(row, class_name=name, images=images))
    return result


def build_figure(rows: Sequence[Row]) -> Figure:
    """Draw the rows below each other, each under its dataset and class."""
    size = 1.1 * NUM_SAMPLES, 1.38 * len(rows) + 0.4
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle("Random images of each dataset")
    strips = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for strip, row in zip(strips, rows, strict=True):
        color = FAKE_COLOR if row.class_name in FAKE_NAMES else REAL_COLOR
        title = f"{row.dataset}, {row.split} split: {row.class_name}"
        title = f"{title} ({len(row.images)} of n = {row.num_images})"
        strip.suptitle(escape_dollars(title), color=color, fontsize=11)
        cells = strip.subplots(1, NUM_SAMPLES)
        for axes in cells:
            axes.set_axis_off()
        for axes, image in zip(cells, row.images, strict=False):
            axes.imshow(image)
    return figure


if __name__ == "__main__":
    command_line.run(main)
