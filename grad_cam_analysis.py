"""Draw where a detector sees a class, by Grad-CAM: real images and fake ones."""

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from pytorch_grad_cam.utils.image import show_cam_on_image
from torch import nn
from torch.utils.data import Dataset

import command_line
from explaining.cams import LAYER, METHODS, check_layer, compute_grad_cam_maps
from explaining.checks import check_maps
from explaining.figures import Kind, save_checks, save_mean_maps, save_sections
from explaining.mean_maps import compute_mean_maps, make_displayable
from explaining.subjects import (
    add_subject_flags,
    check_subject_flags,
    draw_pictures,
    explain_groups,
    explain_image,
    prepare_subjects,
    rank_images,
)
from faces_dataset import CLASS_NAMES, count_classes
from hardware import show_progress

NUM_IMAGES = 12  # half of them of each class


TITLES = {
    "grad-cam": "Grad-CAM",
    "grad-cam++": "Grad-CAM++",
    "hires-cam": "HiResCAM",
    "layer-cam": "LayerCAM",
    "eigen-cam": "Eigen-CAM",
}

EPILOG = """examples:
  python grad_cam_analysis.py -m XceptionBased -d synthetic_dataset \\
      -cp checkpoints/synthetic_dataset_XceptionBased_Adam.pt
  python grad_cam_analysis.py --image photo.jpg \\
      -cp checkpoints/synthetic_dataset_XceptionBased_Adam.pt

writes, to the folder of figures, each with its numbers in a .json beside it:
  DATASET_MODEL_Real_Image_grad_cam.png   real test images and their maps
  DATASET_MODEL_Fake_Image_grad_cam.png   fake test images and their maps
  DATASET_MODEL_mean_grad_cam_maps.png    with --whole-set; the maps also as .npy
  DATASET_MODEL_grad_cam_checks.png       with --checks
or, with --image:
  MODEL_PICTURE_grad_cam_map.png          each picture and its map
Another --method stands in place of the word grad_cam, another --layer after it.

Grad-CAM is computed in float32; --precision is that of the scores."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser, from_checkpoint=True)
    command_line.add_checkpoint_flag(parser)
    add_subject_flags(parser)
    command_line.add_compute_flags(parser, batch_size=8)
    command_line.add_figures_flag(parser)
    parser.add_argument(
        "--whole-set",
        action="store_true",
        help="also draw the mean map of all real and of all fake test images",
    )
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        default="grad-cam",
        help="how the layer's activations are weighed",
    )
    parser.add_argument(
        "--layer",
        default=LAYER,
        metavar="NAME",
        help="the layer whose activations are weighed: conv1, conv2, conv3; of "
        "XceptionBased also block1 to block12 and conv4",
    )
    args = parser.parse_args(argv)
    check_subject_flags(parser, args)
    if args.image and args.whole_set:
        parser.error("--whole-set needs a dataset: leave out --image")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    subjects, loader = prepare_subjects(args)
    check_layer(subjects.model, args.layer)
    kind = build_kind(args.method, args.layer)
    how = {"method": args.method, "layer": args.layer}
    compute_maps = partial(compute_grad_cam_maps, model=subjects.model, **how)
    explain = partial(explain_image, subjects, compute_maps=compute_maps, kind=kind)
    details = {**subjects.describe(), **how}
    if args.image:
        draw_pictures(subjects, explain, kind, folder=args.figures_dir, details=details)
        return

    start = args.figures_dir / f"{args.dataset}_{subjects.model.title}"
    details = {"dataset": args.dataset, "split": "test", **details}
    groups = rank_images(subjects, args.choose, args.seed)
    sections = explain_groups(groups, NUM_IMAGES // len(groups), explain)
    numbers = {**details, "choose": args.choose, "seed": args.seed}
    for label, name in enumerate(CLASS_NAMES):
        of_class = [section for section in sections if section.label == label]
        name = f"{start}_{name.capitalize()}_Image_{kind.name}"
        save_sections(name, of_class, kind, numbers)
    if args.whole_set:
        batches = show_progress(loader, kind.name)
        maps = compute_mean_maps(batches, compute_maps, subjects.targets)
        counts = count_classes(subjects.images)
        save_mean_maps(start, maps, counts, kind=kind, details=details)
    if args.checks:
        options = {"num": args.checks, "seed": args.seed, "batch_size": args.batch_size}
        checks = check_maps(subjects, compute_maps, **options)
        save_checks(start, checks, kind=kind, details={**details, "seed": args.seed})


def build_kind(method: str, layer: str) -> Kind:
    """Return how a method's maps at a layer are drawn and named."""
    name = method.replace("-", "_")
    title = TITLES[method]
    return Kind(
        name=name if layer == LAYER else f"{name}_{layer}",
        draw=partial(show_cam_on_image, use_rgb=True),
        title=f"mean {title} at {layer} of",
        unit="mean of maps that each fill 0 to 1",
        legend=f"{title} at layer {layer} of",
        scale="red: the map's maximum; blue: 0; line: half the maximum",
        empty=f"little or nothing in {layer} speaks for",
        has_outline=True,
    )


def get_grad_cam_visualization(
    test_dataset: Dataset,
    model: nn.Module,
    *,
    generator: torch.Generator | None = None,
) -> tuple[np.ndarray, int]:
    """Explain the score of one random image's true class by Grad-CAM at `conv3`.

    Args:
        test_dataset: map-style; samples (3, H, W), uint8, or float and normalised.
        model: from images to logits (B, 2), with a layer `conv3`.
        generator: of the random choice; default torch's own.

    Returns:
        The map as colours over the image, uint8 (H, W, 3), RGB, and the image's label.

    Raises:
        ValueError: as `compute_grad_cam_maps`.
    """
    index = int(torch.randint(len(test_dataset), (), generator=generator))
    sample, label = test_dataset[index]
    (cam,) = compute_grad_cam_maps(sample[None], [label], model).numpy()
    image = make_displayable(sample, model)
    return show_cam_on_image(image, cam, use_rgb=True), int(label)


if __name__ == "__main__":
    command_line.run(main)
