"""Draw where a detector sees a class, by Grad-CAM: a real image and a fake one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.utils.data import Dataset

import command_line
from explaining.figures import GradCam, save_grad_cam, save_mean_maps
from explaining.mean_maps import (
    compute_mean_maps,
    left_as_it_is,
    make_displayable,
    prepare_images,
)
from faces_dataset import FAKE, REAL, count_classes
from files.atomic import check_writable
from files.layout import default_checkpoint_path
from hardware import Precision, choose_precision, prepare_device
from loading import BatchLoader
from metrics import compute_fake_scores
from trainer import compute_logits
from utils import load_checkpoint, load_dataset, refuse_broken_scores

LAYER = "conv3"  # SimpleNet's last convolution, XceptionBased's last but one

EPILOG = """example:
  python grad_cam_analysis.py -m XceptionBased -d synthetic_dataset \\
      -cp checkpoints/synthetic_dataset_XceptionBased_Adam.pt

writes, to the folder of figures, each with its numbers in a .json beside it:
  DATASET_MODEL_Real_Image_grad_cam.png   a random real test image and its map
  DATASET_MODEL_Fake_Image_grad_cam.png   a random fake test image and its map
  DATASET_MODEL_mean_grad_cam_maps.png    with --whole-set; the maps also as .npy

Grad-CAM is computed in float32; --precision is that of the scores in the titles."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser)
    command_line.add_checkpoint_flag(parser)
    command_line.add_compute_flags(parser, batch_size=8)
    command_line.add_figures_flag(parser)
    parser.add_argument(
        "--whole-set",
        action="store_true",
        help="also draw the mean map of all real and of all fake test images",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    precision = choose_precision(args.precision, prepare_device(args.device))
    path = args.checkpoint_path or default_checkpoint_path(args.dataset, args.model)
    model = load_checkpoint(path, args.model, precision.device)
    dataset = load_dataset(
        args.dataset, "test", data_root=args.data_root, limit=args.limit
    )
    check_writable(args.figures_dir)
    start = args.figures_dir / f"{args.dataset}_{args.model}"
    details = {
        "model": args.model,
        "dataset": args.dataset,
        "split": "test",
        "checkpoint": str(path),
        "layer": LAYER,
    }

    for index in choose_one_of_each_class(dataset.get_labels(), args.seed):
        sample, label = dataset[index]
        path = dataset.get_path(index)
        fake_score = compute_fake_score(sample, path, model, precision)
        example = explain_sample(sample, label, model)
        numbers = {**details, "precision": precision.name, "seed": args.seed}
        save_grad_cam(start, example, path, fake_score, numbers)

    if args.whole_set:
        options = {"device": precision.device, "workers": args.workers}
        loader = BatchLoader(dataset, args.batch_size, model.preprocessing, **options)
        batches = command_line.progress(loader, "Grad-CAM")
        maps = compute_mean_maps(batches, partial(compute_grad_cam_maps, model=model))
        save_mean_maps(start, maps, count_classes(dataset), details, kind="grad_cam")


def choose_one_of_each_class(labels: np.ndarray, seed: int) -> list[int]:
    """Choose the index of a random real and of a random fake sample of `labels`."""
    generator = np.random.default_rng(seed)
    classes = (np.flatnonzero(labels == label) for label in (REAL, FAKE))
    return [int(generator.choice(indices)) for indices in classes]


def compute_fake_score(
    sample: Tensor, path: Path, model: nn.Module, precision: Precision
) -> float:
    """Compute P(fake) of a sample uint8 (3, H, W); refuse (ValueError) no number."""
    images = model.preprocessing.normalise(sample[None])
    batches = [(images, torch.tensor([REAL]))]  # nobody looks at the label
    logits, _ = compute_logits(model, batches, precision)
    refuse_broken_scores(logits, lambda index: path)
    return compute_fake_scores(logits, model.temperature).item()


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
    """
    index = int(torch.randint(len(test_dataset), (), generator=generator))
    example = explain_sample(*test_dataset[index], model)
    return example.overlay, example.label


def explain_sample(sample: Tensor, label: int, model: nn.Module) -> GradCam:
    """Compute one sample's Grad-CAM map of its true class, and lay it over the image.

    Args:
        sample: (3, H, W), uint8, or float and normalised.
        label: its true class.
        model: from images to logits (B, 2), with a layer `conv3`.
    """
    label = int(label)
    (cam,) = compute_grad_cam_maps(sample[None], [label], model).numpy()
    image = make_displayable(sample, model)
    overlay = show_cam_on_image(image, cam, use_rgb=True)
    return GradCam(image, cam, overlay, label)


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
        ValueError: the samples are uint8 and the model has no `preprocessing`.

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
