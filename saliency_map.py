"""Draw which pixels move a detector's score: images with maps, and mean maps."""

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np
from torch import nn

import command_line
from explaining.checks import check_maps
from explaining.figures import (
    Kind,
    color_map,
    save_checks,
    save_mean_maps,
    save_sections,
)
from explaining.mean_maps import compute_mean_maps
from explaining.methods import METHODS, compute_gradient_saliency_maps
from explaining.subjects import (
    add_subject_flags,
    check_subject_flags,
    draw_pictures,
    explain_groups,
    explain_image,
    prepare_subjects,
    rank_images,
)
from faces_dataset import count_classes
from hardware import Precision, show_progress
from trainer import Batches

NUM_PAIRS = 36

# By --method: what a map is called in titles, and what a pixel's value is.
TITLES = {
    "gradient": ("saliency", "|d score / d pixel|"),
    "smoothgrad": ("SmoothGrad", "|mean d score / d pixel| of noisy copies"),
    "integrated-gradients": ("integrated gradients", "|share in the score|"),
    "input-x-gradient": ("input x gradient", "|pixel * d score / d pixel|"),
}

EPILOG = """examples:
  python saliency_map.py -m SimpleNet -d fakes_dataset \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt
  python saliency_map.py --image photo.jpg \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt

writes, to the folder of figures, each with its numbers in a .json beside it:
  DATASET_MODEL_saliency_maps_and_images_pairs.png   up to 36 test images, their maps
  DATASET_MODEL_mean_saliency_maps.png               mean map of all real, of all fake
  DATASET_MODEL_mean_saliency_maps.npy               float32 (2, H, W), real first
  DATASET_MODEL_saliency_checks.png                  with --checks
or, with --image:
  MODEL_PICTURE_saliency_map.png                     each picture and its map
Another --method than gradient stands in place of the word saliency."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser, from_checkpoint=True)
    command_line.add_checkpoint_flag(parser)
    add_subject_flags(parser)
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
    parser.add_argument(
        "--method",
        choices=tuple(TITLES),
        default="gradient",
        help="how the score's gradient becomes a map; smoothgrad takes 25 times as "
        "long as gradient, integrated-gradients 32 times",
    )
    args = parser.parse_args(argv)
    check_subject_flags(parser, args)
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    subjects, loader = prepare_subjects(args)
    kind = build_kind(args.method)
    detector = {"model": subjects.model, "precision": subjects.precision}
    compute_maps = partial(METHODS[args.method], **detector)
    explain = partial(explain_image, subjects, compute_maps=compute_maps, kind=kind)
    details = {**subjects.describe(), "method": args.method}
    if args.image:
        draw_pictures(subjects, explain, kind, folder=args.figures_dir, details=details)
        return

    start = args.figures_dir / f"{args.dataset}_{subjects.model.title}"
    details = {"dataset": args.dataset, "split": "test", **details}
    groups = rank_images(subjects, args.choose, args.seed)
    sections = explain_groups(groups, NUM_PAIRS // len(groups), explain)
    numbers = {**details, "choose": args.choose, "seed": args.seed}
    save_sections(f"{start}_{kind.name}_maps_and_images_pairs", sections, kind, numbers)

    batches = show_progress(loader, kind.name)
    mean_maps = compute_mean_maps(batches, compute_maps, subjects.targets)
    counts = count_classes(subjects.images)
    save_mean_maps(start, mean_maps, counts, kind=kind, details=details)

    if args.checks:
        options = {"num": args.checks, "seed": args.seed, "batch_size": args.batch_size}
        checks = check_maps(subjects, compute_maps, **options)
        save_checks(start, checks, kind=kind, details={**details, "seed": args.seed})


def build_kind(method: str) -> Kind:
    """Return how a method's maps are drawn and named."""
    title, value = TITLES[method]
    name = "saliency" if method == "gradient" else method.replace("-", "_")
    over = "largest |gradient| over channels" if method == "gradient" else value
    return Kind(
        name=name,
        draw=color_map,
        title=f"mean {title} of",
        unit=f"mean {value}, pixels normalised",
        legend=f"{title} ({over}) of",
        scale="each map on its own scale, its brightest 1 % white",
        empty="few pixels or none move the score of",
    )


def compute_mean_saliency_maps(
    batches: Batches, model: nn.Module, *, precision: Precision | None = None
) -> np.ndarray:
    """Average the gradient saliency maps of all real and of all fake images.

    Args, Returns and Raises: as for `explaining.mean_maps.compute_mean_maps` and
    `compute_gradient_saliency_maps`.
    """
    compute_maps = partial(
        compute_gradient_saliency_maps, model=model, precision=precision
    )
    return compute_mean_maps(batches, compute_maps)


if __name__ == "__main__":
    command_line.run(main)
