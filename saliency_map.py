"""Draw which pixels move a detector's score: images with maps, and mean maps."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

import command_line
from explaining.figures import Kind, color_map, save_mean_maps, save_sections
from explaining.mean_maps import compute_mean_maps, left_as_it_is, prepare_images
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
from faces_dataset import count_classes
from files.atomic import check_writable
from files.layout import default_checkpoint_path
from hardware import Precision, choose_precision, prepare_device
from loading import BatchLoader
from trainer import Batches
from utils import load_checkpoint

NUM_PAIRS = 36
PAIRS_NAME = "saliency_maps_and_images_pairs"

SALIENCY = Kind(
    name="saliency",
    draw=color_map,
    title="mean saliency of",
    unit="mean |d score / d pixel|, pixels normalised",
    legend="saliency (largest |gradient| over channels) of",
    scale="each map on its own scale, its brightest 1 % white",
    empty="few pixels or none move the score of",
)

# Keeps pixel gradients within float16's range; divided out again in float32.
_FP16_SCALE = 1024.0

EPILOG = """examples:
  python saliency_map.py -m SimpleNet -d fakes_dataset \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt
  python saliency_map.py --image photo.jpg \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt

writes, to the folder of figures, each with its numbers in a .json beside it:
  DATASET_MODEL_saliency_maps_and_images_pairs.png   up to 36 test images, their maps
  DATASET_MODEL_mean_saliency_maps.png               mean map of all real, of all fake
  DATASET_MODEL_mean_saliency_maps.npy               float32 (2, H, W), real first
or, with --image:
  MODEL_PICTURE_saliency_map.png                     each picture and its map"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser, from_checkpoint=True)
    command_line.add_checkpoint_flag(parser)
    add_subject_flags(parser)
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
    args = parser.parse_args(argv)
    check_subject_flags(parser, args)
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
    compute_maps = partial(
        compute_gradient_saliency_maps, model=model, precision=precision
    )
    explain = partial(explain_image, subjects, compute_maps=compute_maps, kind=SALIENCY)
    details = subjects.describe()
    if args.image:
        draw_pictures(
            subjects, explain, SALIENCY, folder=args.figures_dir, details=details
        )
        return

    start = args.figures_dir / f"{args.dataset}_{model.title}"
    details = {"dataset": args.dataset, "split": "test", **details}
    groups = rank_images(subjects, args.choose, args.seed)
    sections = explain_groups(groups, NUM_PAIRS // len(groups), explain)
    numbers = {**details, "choose": args.choose, "seed": args.seed}
    save_sections(f"{start}_{PAIRS_NAME}", sections, SALIENCY, numbers)

    batches = command_line.progress(loader, "saliency")
    mean_maps = compute_mean_maps(batches, compute_maps, subjects.targets)
    counts = count_classes(images)
    save_mean_maps(start, mean_maps, counts, kind=SALIENCY, details=details)


def compute_gradient_saliency_maps(
    samples: Tensor,
    true_labels: Tensor | Sequence[int],
    model: nn.Module,
    *,
    precision: Precision | None = None,
) -> Tensor:
    """Compute how strongly each pixel moves the score of its image's true class.

    The model runs in evaluation mode, so that no image affects another's map, in one
    backward pass for the batch. Its gradients, flags and modes stay as they are.

    Args:
        samples: float (B, 3, H, W), normalised; or uint8, if the model knows its
            `preprocessing`.
        true_labels: int (B,), 0 real, 1 fake.
        model: from images to logits (B, 2), on any device.
        precision: arithmetic of both passes; default float32.

    Returns:
        float32 (B, H, W), on the model's device: the largest magnitude over channels
        of the score's gradient with respect to the normalised image.

    Raises:
        ValueError: the samples are uint8 and the model has no `preprocessing`; or it
            has one, and they are floats in [0, 1], which nobody has normalised.

    Source: Simonyan et al. 2014, Deep Inside Convolutional Networks, section 3.1; the
        score is the class's logit, before the softmax, as there.
    """
    images = prepare_images(samples, model)
    labels = torch.as_tensor(true_labels, device=images.device).long()
    precision = precision or Precision("fp32", images.device)
    scale = _FP16_SCALE if precision.name == "fp16" else 1.0
    with left_as_it_is(model), torch.enable_grad():
        with precision.autocast():
            logits = model(images)  # (B, 2)
        true_scores = logits.float().gather(1, labels[:, None])
        (gradients,) = torch.autograd.grad(scale * true_scores.sum(), images)
    return gradients.abs().amax(dim=1).float() / scale


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
