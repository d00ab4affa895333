"""Draw which pixels move a detector's score: images with maps, and mean maps."""

import argparse
from collections.abc import Sequence
from functools import partial

import command_line
from command_line import maps

from torch import Tensor, nn

from explaining.explanation import explain_image
from explaining.gradients import (
    TITLES,
    build_gradient_method,
    compute_attribution_maps,
    compute_input_gradients,
    compute_magnitudes,
)
from files.classes import FAKE, REAL
from hardware import Precision
from judging.detector import Detector

NUM_IMAGES = 36

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
    parser = maps.build_parser(__doc__, EPILOG)
    parser.add_argument(
        "--method",
        choices=tuple(TITLES),
        default="gradient",
        help="how the score's gradient becomes a map; smoothgrad takes 25 times as "
        "long as gradient, integrated-gradients 32 times",
    )
    return maps.check_flags(parser, parser.parse_args(argv))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    judged = maps.take_judged_images(args)
    compute_maps = compute_gradient_saliency_maps
    if args.method != "gradient":
        compute_maps = partial(compute_attribution_maps, method=args.method)
    compute_maps = partial(compute_maps, precision=judged.compute.precision)
    method = build_gradient_method(args.method, compute_maps)
    method = maps.take_checked(judged.detector, method)
    explain = partial(explain_image, judged.images, judged.detector, [method])
    figures = {f"{method.name}_maps_and_images_pairs": (REAL, FAKE)}
    how = {"num": NUM_IMAGES, "with_means": True}
    maps.draw_maps(args, judged, method, explain, figures, **how)


def compute_gradient_saliency_maps(
    samples: Tensor,
    true_labels: Tensor | Sequence[int],
    model: Detector | nn.Module,
    *,
    precision: Precision | None = None,
) -> Tensor:
    """Compute how strongly each pixel moves the score of its image's true class.

    The model runs in evaluation mode, so that no image affects another's map, in one
    backward pass for the batch. Its gradients, flags and modes stay as they are.

    Args:
        samples: float (B, 3, H, W), normalised; or uint8, if the model's preprocessing
            is known.
        true_labels: int (B,), 0 real, 1 fake.
        model: a detector, or a network from images to logits (B, 2), on any device.
        precision: arithmetic of both passes; default float32.

    Returns:
        float32 (B, H, W), on the model's device: the largest magnitude over channels
        of the score's gradient with respect to the normalised image.

    Raises:
        ValueError: the number of labels is not that of the samples, or one is neither
            0 nor 1; the samples are uint8 and the model's preprocessing is not known;
            or it is known, and they are floats in [0, 1], which nobody has normalised.

    Source: Simonyan et al. 2014, Deep Inside Convolutional Networks, section 3.1; the
        score is the class's logit, before the softmax, as there.
    """
    gradients = compute_input_gradients(
        samples, true_labels, model, precision=precision
    )  # (B, 3, H, W)
    return compute_magnitudes(gradients)


if __name__ == "__main__":
    command_line.run(main)
