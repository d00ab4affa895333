"""Draw where a detector sees a class, by Grad-CAM: a real image and a fake one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cli
from files import check_writable

if TYPE_CHECKING:
    import numpy as np

EPILOG = """example:
  python grad_cam_analysis.py -m XceptionBased -d synthetic_dataset \\
      -cp checkpoints/synthetic_dataset_XceptionBased_Adam.pt

writes, to the folder of figures, each with its numbers in a .json beside it:
  DATASET_MODEL_Real_Image_grad_cam.png   a random real test image and its map
  DATASET_MODEL_Fake_Image_grad_cam.png   a random fake test image and its map
  DATASET_MODEL_mean_grad_cam_maps.png    with --whole-set; the maps also as .npy

Grad-CAM is computed in float32; --precision is that of the scores in the titles."""


def __getattr__(name: str) -> Any:
    """Offer explain.py's functions here too, without importing torch for --help."""
    if name in ("get_grad_cam_visualization", "compute_grad_cam_maps"):
        import explain

        return getattr(explain, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.Parser(__doc__, epilog=EPILOG)
    cli.add_data_flags(parser)
    cli.add_model_flag(parser)
    cli.add_checkpoint_flag(parser)
    cli.add_compute_flags(parser, batch_size=8)
    cli.add_figures_flag(parser)
    parser.add_argument(
        "--whole-set",
        action="store_true",
        help="also draw the mean map of all real and of all fake test images",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)

    from functools import partial

    from torch.utils.data import Subset

    from explain import compute_grad_cam_maps, compute_mean_maps, explain_sample
    from loading import BatchLoader
    from map_output import save_grad_cam, save_mean_maps
    from models import MODELS
    from precision import choose_precision, choose_workers, prepare_device
    from utils import (
        get_soft_scores_and_true_labels,
        load_checkpoint,
        load_dataset,
    )

    device = prepare_device(args.device)
    precision = choose_precision(args.precision, device)
    default_path = cli.default_checkpoint_path(args.dataset, args.model)
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
            cli.progress(loader, "Grad-CAM"),
            partial(compute_grad_cam_maps, model=model, layer=layer),
        )
        nums = [len(dataset.real_image_names), len(dataset.fake_image_names)]
        maps = [mean_map.numpy() for mean_map in mean_maps.values()]
        save_mean_maps(start, maps, nums, details, kind="grad_cam")


def choose_one_of_each_class(labels: np.ndarray, seed: int) -> list[int]:
    """Choose the index of a random real and of a random fake sample of `labels`."""
    import numpy as np

    generator = np.random.default_rng(seed)
    return [int(generator.choice(np.flatnonzero(labels == label))) for label in (0, 1)]


if __name__ == "__main__":
    cli.run(main)
