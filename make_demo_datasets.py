"""Make two datasets of drawn faces, so that everything runs without a download.

fakes_dataset: the inner face of one drawn person planted into another's picture; masks/
says which pixels are planted, for saliency_map.py --checks.
synthetic_dataset: drawn faces with the periodic traces of a GAN's up-sampling.
File names begin with the person's number: numerical_analysis.py --group-by prefix.
"""

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import command_line

import numpy as np
from tqdm import tqdm

from drawn_faces.forgeries import (
    add_generator_traces,
    encode_mask,
    photograph,
    resample,
    swap_face,
)
from drawn_faces.plan import (
    DATASETS,
    PlannedImage,
    check_replaceable,
    plan_dataset,
    publish,
)
from drawn_faces.portraits import draw_face, sample_person, sample_shot
from files.atomic import check_writable
from files.bounds import Bounds
from files.names import name_mask
from files.provenance import format_command
from hardware.processes import count_cores

SIZES = Bounds(64, 4096, int)
FEWEST_FOR_A_POOL = 40  # with fewer, starting processes costs more than it saves
FEWEST_TO_LEARN_FROM = 300  # training images of each class, SimpleNet in five epochs


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.Parser(__doc__)
    parser.add_argument(
        "--data-root",
        type=Path,
        default=Path("datasets"),
        metavar="DIR",
        help="folder that will hold both datasets",
    )
    parser.add_argument(
        "--images-per-class",
        type=command_line.take(Bounds(1, 100_000, int)),
        default=600,
        metavar="N",
        help="training images of each class; validation has a fifth, test two fifths "
        "(in fakes_dataset, a fifth of fakes); with fewer than about "
        f"{FEWEST_TO_LEARN_FROM} SimpleNet learns little in five epochs",
    )
    parser.add_argument(
        "--size",
        type=command_line.take(SIZES),
        default=256,
        metavar="PIXELS",
        help="height and width of the images",
    )
    parser.add_argument(
        "--workers",
        type=command_line.take(Bounds(1, 1024, int)),
        metavar="N",
        help="processes that draw (default: one per core); the images do not depend on "
        "it",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace existing datasets if this script made them; without it they are "
        "kept as they are",
    )
    command_line.add_seed_flag(parser)
    return parser.parse_args(argv)


def draw_picture(picture: PlannedImage) -> tuple[bytes, bytes | None]:
    """Draw one image of a dataset as a JPEG file, and its mask if a face is planted.

    The bytes depend only on the picture's fields, and on the versions of NumPy, SciPy
    and Pillow. Real and fake differ in nothing but the forgery.
    """

    def start(*stream: int) -> np.random.Generator:
        return np.random.default_rng([picture.seed, *stream])

    dataset = DATASETS.index(picture.dataset)
    rng = start(1, dataset, picture.is_fake, picture.person)
    shot = sample_shot(rng)
    person = sample_person(start(0, picture.person))
    face = draw_face(person, shot, rng, size=picture.size)
    image, mask = face.image, None
    if picture.donor is not None:
        donor = sample_person(start(0, picture.donor))
        donor_shot = sample_shot(rng, pose_of=shot)
        donor_face = draw_face(donor, donor_shot, rng, size=picture.size)
        swap = swap_face(face, donor_face, rng)
        image, mask = swap.image, encode_mask(swap.mask)
    camera = start(2, dataset, picture.camera)
    image = resample(image, camera.uniform(1.0, 1.5))
    if picture.is_fake and picture.donor is None:
        image = add_generator_traces(image, rng)
    return photograph(image, camera), mask


def save_picture(folder: str | Path, picture: PlannedImage) -> None:
    """Draw one image and write it below `folder`, and its mask if it has one."""
    path = Path(folder) / picture.path
    image, mask = draw_picture(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image)
    if mask is not None:
        path = name_mask(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mask)


def save_pictures(
    pictures: Sequence[PlannedImage], folder: str | Path, *, workers: int = 1
) -> None:
    """Draw all pictures below `folder`, in several processes if that pays."""
    name, total = pictures[0].dataset, len(pictures)
    save = partial(save_picture, folder)
    if workers == 1 or total < FEWEST_FOR_A_POOL:
        for picture in tqdm(pictures, name, leave=False, disable=None):
            save(picture)
        return
    context = multiprocessing.get_context("spawn")  # the same on every platform
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        saved = pool.map(save, pictures, chunksize=8)
        for _ in tqdm(saved, name, total=total, leave=False, disable=None):
            pass


def main(argv: Sequence[str] | None = None) -> None:
    """Make the datasets that are missing and say where they are."""
    args = parse_args(argv)
    paths = {name: args.data_root / name for name in DATASETS}
    missing = [n for n, p in paths.items() if args.overwrite or not os.path.lexists(p)]
    for name in missing:
        check_replaceable(paths[name])
    if missing:
        check_writable(args.data_root)
    options = {"images_per_class": args.images_per_class, "size": args.size}
    for name, path in paths.items():
        if name not in missing:
            command_line.say(f"{path}: already there; --overwrite would replace it")
            continue
        pictures = plan_dataset(name, seed=args.seed, **options)
        with publish(path) as folder:
            save_pictures(pictures, folder, workers=args.workers or count_cores())
        command_line.say(f"{path}: {len(pictures)} images, made")
    say_what_is_next(args.data_root, args.images_per_class if missing else None)


def say_what_is_next(data_root: Path, num_images: int | None) -> None:
    """Print the command to try next; `num_images` of each class were made now."""
    script, words = "train_main.py", ["-d", "fakes_dataset", "-m", "SimpleNet"]
    if num_images is not None and num_images < FEWEST_TO_LEARN_FROM:
        script, words = "plot_samples_of_faces_dataset.py", []
        command_line.say(
            "enough to look at, too few to learn from: SimpleNet needs about "
            f"--images-per-class {FEWEST_TO_LEARN_FROM}"
        )
    if data_root != Path("datasets"):
        words += ["--data-root", str(data_root)]
    command_line.say(f"next: {format_command(script, words)}")


if __name__ == "__main__":
    command_line.run(main)
