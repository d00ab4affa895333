"""Draw where a detector sees a class, by Grad-CAM: real images and fake ones."""

import argparse
from collections.abc import Sequence
from functools import partial

import command_line
from command_line import maps

import torch
from torch import nn
from torch.utils.data import Dataset

from explaining.cams import METHODS, build_cam_method
from explaining.explanation import Explanation, explain_image
from files.classes import CLASS_NAMES
from judging.detector import Detector, as_detector

NUM_IMAGES = 12  # half of them of each class

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
    parser = maps.build_parser(__doc__, EPILOG, batch_size=8)
    parser.add_argument(
        "--whole-set",
        action="store_true",
        help="also draw the mean map of all real and of all fake test images",
    )
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        default="grad-cam",
        help="how the layer's activations are weighted",
    )
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="the layer whose activations are weighted, any module of the network: "
        "conv1 to conv3; of XceptionBased also block1 to block12 and conv4; of timm's "
        "such as layer3, stages.2, blocks.8.norm1 (default: the network's own)",
    )
    return maps.check_flags(parser, parser.parse_args(argv))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    judged = maps.take_judged_images(args)
    detector, chosen = judged.detector, {"layer": args.layer, "method": args.method}
    method = maps.take_checked(detector, build_cam_method(detector, **chosen))
    explain = partial(get_grad_cam_visualization, judged.images, detector, **chosen)
    figures = {
        f"{name.capitalize()}_Image_{method.name}": (label,)
        for label, name in enumerate(CLASS_NAMES)
    }
    how = {"num": NUM_IMAGES, "with_means": args.whole_set}
    maps.draw_maps(args, judged, method, explain, figures, **how)


def get_grad_cam_visualization(
    test_dataset: Dataset,
    model: Detector | nn.Module,
    *,
    generator: torch.Generator | None = None,
    index: int | None = None,
    target_class: int | None = None,
    layer: str | None = None,
    method: str = "grad-cam",
) -> Explanation:
    """Explain a class's score of an image by Grad-CAM: a random one's true class.

    Args:
        test_dataset: map-style; samples (3, H, W), uint8, or float and normalised.
        model: a detector, or a network from images to logits (B, 2).
        generator: of the random choice; default torch's own.
        index: of the image, if not a random one.
        target_class: whose score is explained, if not the true class's.
        layer: whose activations are weighted; default the detector's own.
        method: one of `explaining.cams.METHODS`.

    Returns:
        The explanation, which unpacks as (visualization, label): the map as colours
        over the image, uint8 (H, W, 3), RGB, and the image's label.

    Raises:
        ValueError: as `explaining.cams.compute_grad_cam_maps`; or there is no such
            layer.
    """
    detector = as_detector(model)
    methods = [build_cam_method(detector, method=method, layer=layer)]
    if index is None:
        index = int(torch.randint(len(test_dataset), (), generator=generator))
    chosen = {"index": index, "target_class": target_class}
    return explain_image(test_dataset, detector, methods, **chosen)


if __name__ == "__main__":
    command_line.run(main)
