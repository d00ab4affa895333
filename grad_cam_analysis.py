"""Where a detector looks: gradient saliency and Grad-CAM, from images to maps."""

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
from torch.utils.data import Dataset, Subset

import command_line
from explaining.figures import GradCam, save_grad_cam, save_mean_maps
from explaining.maps import (
    compute_mean_maps,
    left_as_it_is,
    make_displayable,
    prepare_images,
)
from files.atomic import check_writable
from files.layout import default_checkpoint_path
from hardware import choose_precision, choose_workers, prepare_device
from loading import BatchLoader
from models import MODELS
from numerical_analysis import get_soft_scores_and_true_labels
from utils import load_checkpoint, load_dataset


def compute_grad_cam_maps(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    *,
    layer: str = "conv3",
) -> Tensor:
    """Compute which places of a layer's activations speak for a class.

    Always in float32, in one backward pass for the batch, whether or not the model's
    parameters are frozen. The model stays as it is.

    Args:
        samples: as for `compute_gradient_saliency_maps`.
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


def explain_sample(
    sample: Tensor, label: int, model: nn.Module, *, layer: str = "conv3"
) -> GradCam:
    """Compute one sample's Grad-CAM map of its true class, and lay it over the image.

    Args:
        sample: (3, H, W), uint8, or float and normalised.
        label: its true class.
        model, layer: as for `compute_grad_cam_maps`.
    """

    label = int(label)
    (cam,) = compute_grad_cam_maps(sample[None], [label], model, layer=layer).numpy()
    image = make_displayable(sample, model)
    overlay = show_cam_on_image(image, cam, use_rgb=True)
    return GradCam(image, cam, overlay, label)


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

    device = prepare_device(args.device)
    precision = choose_precision(args.precision, device)
    default_path = default_checkpoint_path(args.dataset, args.model)
    detector = load_checkpoint(args.checkpoint_path or default_path, args.model, device)
    model, layer = detector.model, MODELS[args.model].grad_cam_layer
    dataset = load_dataset(
        args.dataset,
        "test",
        data_root=args.data_root,
        size=model.preprocessing.size,
        limit=args.limit,
    )
    check_writable(args.figures_dir)
    start = args.figures_dir / f"{args.dataset}_{args.model}"
    details = {
        "model": args.model,
        "dataset": args.dataset,
        "split": "test",
        "checkpoint": str(detector.path),
        "layer": layer,
    }

    for index in choose_one_of_each_class(dataset.get_labels(), args.seed):
        example = explain_sample(*dataset[index], model, layer=layer)
        _, (fake_score,), _ = get_soft_scores_and_true_labels(
            Subset(dataset, [index]), model, precision=precision
        )
        path = dataset.get_path(index)
        numbers = {**details, "precision": precision.name, "seed": args.seed}
        save_grad_cam(start, example, path, float(fake_score), numbers)
    if args.whole_set:
        loader = BatchLoader(
            dataset,
            args.batch_size,
            model.preprocessing,
            device=device,
            workers=choose_workers(args.workers, device),
        )
        mean_maps = compute_mean_maps(
            command_line.progress(loader, "Grad-CAM"),
            partial(compute_grad_cam_maps, model=model, layer=layer),
        )
        nums = [len(dataset.real_image_names), len(dataset.fake_image_names)]
        maps = [mean_map.numpy() for mean_map in mean_maps.values()]
        save_mean_maps(start, maps, nums, details, kind="grad_cam")


def choose_one_of_each_class(labels: np.ndarray, seed: int) -> list[int]:
    """Choose the index of a random real and of a random fake sample of `labels`."""

    generator = np.random.default_rng(seed)
    return [int(generator.choice(np.flatnonzero(labels == label))) for label in (0, 1)]


if __name__ == "__main__":
    command_line.run(main)
