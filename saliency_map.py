"""Draw which pixels move a detector's score: 36 images with maps, and mean maps."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Subset

import command_line
from explaining.figures import Pair, save_mean_maps, save_pairs
from explaining.mean_maps import (
    compute_mean_maps,
    left_as_it_is,
    make_displayable,
    prepare_images,
)
from faces_dataset import FAKE, REAL, FacesDataset, count_classes
from files.atomic import check_writable
from files.layout import default_checkpoint_path
from hardware import Precision, choose_precision, prepare_device
from loading import BatchLoader
from metrics import compute_fake_scores
from trainer import Batches, compute_logits
from utils import load_checkpoint, load_dataset, refuse_broken_scores

NUM_PAIRS = 36

# Keeps pixel gradients within float16's range; divided out again in float32.
_FP16_SCALE = 1024.0

EPILOG = """example:
  python saliency_map.py -m SimpleNet -d fakes_dataset \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt

writes, to the folder of figures:
  DATASET_MODEL_saliency_maps_and_images_pairs.png   36 random test images, their maps
  DATASET_MODEL_saliency_maps_and_images_pairs.json  which images; their scores
  DATASET_MODEL_mean_saliency_maps.png               mean map of all real, of all fake
  DATASET_MODEL_mean_saliency_maps.json              how many images; the maps' ranges
  DATASET_MODEL_mean_saliency_maps.npy               float32 (2, H, W), real first"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser)
    command_line.add_checkpoint_flag(parser)
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
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
        "precision": precision.name,
    }

    indices = choose_indices(dataset.get_labels(), args.seed)
    pairs = compute_pairs(dataset, indices, model, precision, args.batch_size)
    save_pairs(start, pairs, {**details, "seed": args.seed})

    loader = BatchLoader(
        dataset,
        args.batch_size,
        model.preprocessing,
        device=precision.device,
        workers=args.workers,
    )
    batches = command_line.progress(loader, "saliency")
    mean_maps = compute_mean_saliency_maps(batches, model, precision=precision)
    save_mean_maps(start, mean_maps, count_classes(dataset), details)


def choose_indices(labels: np.ndarray, seed: int, num: int = NUM_PAIRS) -> list[int]:
    """Choose random samples, half of them of each class where there are enough.

    Args:
        labels: int (N,), 0 real, 1 fake.
        seed: of the choice.
        num: how many to choose, or fewer where there are not so many.

    Returns:
        Indices into the dataset, increasing.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    real, fake = (shuffled[labels[shuffled] == label] for label in (REAL, FAKE))
    num_real = max(min(num // 2, len(real)), min(num - len(fake), len(real)))
    return sorted([*real[:num_real].tolist(), *fake[: num - num_real].tolist()])


def compute_pairs(
    dataset: FacesDataset,
    indices: Sequence[int],
    model: nn.Module,
    precision: Precision,
    batch_size: int,
) -> list[Pair]:
    """Compute the chosen samples' saliency maps and scores."""
    loader = BatchLoader(
        Subset(dataset, indices), batch_size, device=precision.device, workers=0
    )
    paths = [str(dataset.get_path(index)) for index in indices]
    pairs = []
    for samples, labels in loader:  # uint8 (B, 3, H, W), to be shown as they are
        images = model.preprocessing.normalise(samples)
        maps = compute_gradient_saliency_maps(
            images, labels, model, precision=precision
        )
        logits, _ = compute_logits(model, [(images, labels)], precision)
        batch_paths = paths[len(pairs) : len(pairs) + len(labels)]
        refuse_broken_scores(logits, batch_paths.__getitem__)
        fake_scores = compute_fake_scores(logits, model.temperature)
        columns = maps.cpu().numpy(), labels.tolist(), fake_scores.tolist()
        for path, sample, *results in zip(batch_paths, samples, *columns, strict=True):
            pairs.append(Pair(path, make_displayable(sample, model), *results))
    return pairs


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
        ValueError: the samples are uint8 and the model has no `preprocessing`.

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
