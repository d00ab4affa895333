"""Draw where a detector sees a class, by Grad-CAM: real images and fake ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.utils.data import Dataset

import command_line
from explaining.figures import Kind, save_mean_maps, save_sections
from explaining.mean_maps import (
    compute_mean_maps,
    left_as_it_is,
    make_displayable,
    prepare_images,
)
from explaining.subjects import (
    add_subject_flags,
    check_subject_flags,
    draw_pictures,
    explain_groups,
    explain_image,
    judge_images,
    open_images,
    rank_images,
)
from faces_dataset import CLASS_NAMES, count_classes
from files.atomic import check_writable
from files.layout import default_checkpoint_path
from hardware import choose_precision, prepare_device
from loading import BatchLoader
from utils import load_checkpoint

LAYER = "conv3"  # SimpleNet's last convolution, XceptionBased's last but one
NUM_IMAGES = 12  # half of them of each class

GRAD_CAM = Kind(
    name="grad_cam",
    draw=partial(show_cam_on_image, use_rgb=True),
    title=f"mean Grad-CAM at {LAYER} of",
    unit="mean of maps that each fill 0 to 1",
    legend=f"Grad-CAM at layer {LAYER} of",
    scale="red: the map's maximum; blue: 0; line: half the maximum",
    empty=f"little or nothing in {LAYER} speaks for",
    has_outline=True,
)

EPILOG = """examples:
  python grad_cam_analysis.py -m XceptionBased -d synthetic_dataset \\
      -cp checkpoints/synthetic_dataset_XceptionBased_Adam.pt
  python grad_cam_analysis.py --image photo.jpg \\
      -cp checkpoints/synthetic_dataset_XceptionBased_Adam.pt

writes, to the folder of figures, each with its numbers in a .json beside it:
  DATASET_MODEL_Real_Image_grad_cam.png   real test images and their maps
  DATASET_MODEL_Fake_Image_grad_cam.png   fake test images and their maps
  DATASET_MODEL_mean_grad_cam_maps.png    with --whole-set; the maps also as .npy
or, with --image:
  MODEL_PICTURE_grad_cam_map.png          each picture and its map

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
    args = parser.parse_args(argv)
    check_subject_flags(parser, args)
    if args.image and args.whole_set:
        parser.error("--whole-set needs a dataset: leave out --image")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    precision = choose_precision(args.precision, prepare_device(args.device))
    path = args.checkpoint_path or default_checkpoint_path(args.dataset, args.model)
    model = load_checkpoint(path, args.model, precision.device)
    command_line.say(f"checkpoint: {path}")
    where = {"data_root": args.data_root, "limit": args.limit}
    images = open_images(args.image, args.dataset, **where)
    check_writable(args.figures_dir)
    options = {"device": precision.device, "workers": args.workers}
    loader = BatchLoader(images, args.batch_size, model.preprocessing, **options)
    subjects = judge_images(loader, model, precision, target=args.target)
    compute_maps = partial(compute_grad_cam_maps, model=model)
    explain = partial(explain_image, subjects, compute_maps=compute_maps, kind=GRAD_CAM)
    details = {**subjects.describe(), "layer": LAYER}
    if args.image:
        draw_pictures(
            subjects, explain, GRAD_CAM, folder=args.figures_dir, details=details
        )
        return

    start = args.figures_dir / f"{args.dataset}_{model.title}"
    details = {"dataset": args.dataset, "split": "test", **details}
    groups = rank_images(subjects, args.choose, args.seed)
    sections = explain_groups(groups, NUM_IMAGES // len(groups), explain)
    numbers = {**details, "choose": args.choose, "seed": args.seed}
    for label, name in enumerate(CLASS_NAMES):
        of_class = [section for section in sections if section.label == label]
        name = f"{start}_{name.capitalize()}_Image_grad_cam"
        save_sections(name, of_class, GRAD_CAM, numbers)

    if args.whole_set:
        batches = command_line.progress(loader, "Grad-CAM")
        maps = compute_mean_maps(batches, compute_maps, subjects.targets)
        counts = count_classes(images)
        save_mean_maps(start, maps, counts, kind=GRAD_CAM, details=details)


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


def compute_grad_cam_maps(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    *,
    layer: str = LAYER,
) -> Tensor:
    """Compute which places of a layer's activations speak for a class.

    Always in float32, in one backward pass for the batch, whether or not the model's
    parameters are frozen. The model stays as it is.

    Args:
        samples: float (B, 3, H, W), normalised; or uint8, if the model knows its
            `preprocessing`.
        target_classes: int (B,), the class that each map is of.
        model: from images to logits (B, 2).
        layer: name of the convolution whose activations are weighed.

    Returns:
        float32 (B, H, W) in [0, 1], on the CPU.

    Raises:
        ValueError: the samples are uint8 and the model has no `preprocessing`; or it
            has one, and they are floats in [0, 1], which nobody has normalised.

    Source: Selvaraju et al. 2017, Grad-CAM, equations 1 and 2, by the package grad-cam.
        Each image's map is rescaled to fill [0, 1] (maps of different images do not
        compare in strength) and enlarged bilinearly to the image's size.
    """
    images = prepare_images(samples, model)
    targets = [ClassifierOutputTarget(int(label)) for label in target_classes]
    with left_as_it_is(model), torch.enable_grad():
        # Not in a `with` block of its own, which would swallow IndexErrors.
        grad_cam = GradCAM(model, [model.get_submodule(layer)])
        try:
            maps = grad_cam(images, targets)
        finally:
            grad_cam.activations_and_grads.release()
    return torch.from_numpy(maps)


if __name__ == "__main__":
    command_line.run(main)
