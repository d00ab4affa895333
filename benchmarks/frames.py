"""Make frames of every test image, as of a short video, to try ways of summing up.

Each image becomes a clip: what happened to all its frames is drawn once (size,
compression, framing), what differs between them for each (place and zoom, light,
noise, one in six out of focus). What a score by video gains is then measured by clip:

    python benchmarks/frames.py --data-root DIR -d fakes_dataset --to datasets/frames
    python numerical_analysis.py -cpp CHECKPOINT -d frames --group-by '(.+)_f[0-9]+' \
        --group-score median
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line

from files.atomic import check_free, grow_folder
from files.bounds import COUNT
from files.classes import CLASS_NAMES
from hardware import show_progress
from loading import read_image
from loading.disturbances import disturb, draw_photograph
from loading.sources.datasets import Source
from utils import open_source

BLURRED = 1 / 6  # of the frames


def make_clip(
    image: Image.Image, num_frames: int, generator: np.random.Generator
) -> Iterator[Image.Image]:
    """Yield frames of a picture, RGB."""
    picture = draw_photograph(image, generator)
    for _ in range(num_frames):
        frame = disturb(picture, "crop", int(generator.integers(1, 3)), generator)
        frame = disturb(frame, "brightness", int(generator.integers(0, 3)), generator)
        frame = disturb(frame, "noise", int(generator.integers(0, 3)), generator)
        if generator.random() < BLURRED:
            frame = frame.filter(ImageFilter.GaussianBlur(generator.uniform(1, 3)))
        yield frame


def write_clips(source: Source, dataset: str, num_frames: int, folder: Path) -> int:
    """Write the frames of a split's images; return how many."""
    images = open_source(dataset, source)
    for name in CLASS_NAMES:
        (folder / source.split / name).mkdir(parents=True)
    for number in show_progress(range(len(images)), "make frames"):
        file = images.get_file(number)
        generator = np.random.default_rng([0, number])
        target = folder / source.split / CLASS_NAMES[images.get_label(number)]
        frames = make_clip(read_image(file), num_frames, generator)
        for index, frame in enumerate(frames):
            name = f"{number:05}_{Path(file.name).stem}_f{index:03}.jpg"
            frame.save(target / name, quality=int(generator.integers(70, 96)))
    return num_frames * len(images)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("-d", "--dataset", default="fakes_dataset", metavar="NAME")
    parser.add_argument("--data-root", type=Path, default=Path("datasets"))
    parser.add_argument("--frames", type=command_line.take(COUNT), default=12)
    parser.add_argument("--to", type=Path, required=True, metavar="DIR")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the frames, all or none."""
    args = parse_args(argv)
    check_free(args.to, "--to")
    source = Source(args.data_root, "test")
    with grow_folder(args.to) as folder:
        num = write_clips(source, args.dataset, args.frames, folder)
    print(f"wrote {num:,} frames to {args.to}")


if __name__ == "__main__":
    command_line.run(main)
