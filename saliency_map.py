"""Draw which pixels move a detector's score: 36 images with maps, and mean maps."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cli
from files import check_writable

if TYPE_CHECKING:
    import numpy as np

    from faces_dataset import FacesDataset
    from map_figures import Pair
    from precision import Precision
    from utils import Detector

NUM_PAIRS = 36
EPILOG = """example:
  python saliency_map.py -m SimpleNet -d fakes_dataset \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt

writes, to the folder of figures:
  DATASET_MODEL_saliency_maps_and_images_pairs.png   36 random test images, their maps
  DATASET_MODEL_saliency_maps_and_images_pairs.json  which images; their scores
  DATASET_MODEL_mean_saliency_maps.png               mean map of all real, of all fake
  DATASET_MODEL_mean_saliency_maps.json              how many images; the maps' ranges
  DATASET_MODEL_mean_saliency_maps.npy               float32 (2, H, W), real first"""


def __getattr__(name: str) -> Any:
    """Offer explain.py's functions here too, without importing torch for --help."""
    if name in ("compute_gradient_saliency_maps", "compute_mean_saliency_maps"):
        import explain

        return getattr(explain, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.Parser(__doc__, epilog=EPILOG)
    cli.add_data_flags(parser)
    cli.add_model_flag(parser)
    cli.add_checkpoint_flag(parser)
    cli.add_compute_flags(parser)
    cli.add_figures_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)

    from explain import compute_mean_saliency_maps
    from loading import BatchLoader
    from map_output import save_mean_maps, save_pairs
    from precision import choose_precision, choose_workers, prepare_device
    from utils import load_checkpoint, load_dataset

    device = prepare_device(args.device)
    precision = choose_precision(args.precision, device)
    default_path = cli.default_checkpoint_path(args.dataset, args.model)
    detector = load_checkpoint(args.checkpoint_path or default_path, args.model, device)
    dataset = load_dataset(
        args.dataset,
        "test",
        data_root=args.data_root,
        size=detector.model.preprocessing.size,
        limit=args.limit,
    )
    check_writable(args.figures_dir)
    start = args.figures_dir / f"{args.dataset}_{args.model}"
    details = {
        "model": args.model,
        "dataset": args.dataset,
        "split": "test",
        "checkpoint": str(detector.path),
        "precision": precision.name,
    }

    indices = choose_indices(dataset.get_labels(), args.seed)
    pairs = compute_pairs(dataset, indices, detector, precision)
    save_pairs(start, pairs, {**details, "seed": args.seed})

    loader = BatchLoader(
        dataset,
        args.batch_size,
        detector.model.preprocessing,
        device=device,
        workers=choose_workers(args.workers, device),
    )
    batches = cli.progress(loader, "saliency")
    mean_maps = compute_mean_saliency_maps(batches, detector.model, precision=precision)
    nums = [len(dataset.real_image_names), len(dataset.fake_image_names)]
    save_mean_maps(start, [m.numpy() for m in mean_maps.values()], nums, details)


def choose_indices(labels: np.ndarray, seed: int, num: int = NUM_PAIRS) -> list[int]:
    """Choose random samples, half of them of each class where there are enough.

    Args:
        labels: int (N,), 0 real, 1 fake.
        seed: of the choice.
        num: how many to choose, or fewer where there are not so many.

    Returns:
        Indices into the dataset, increasing.
    """
    import numpy as np

    shuffled = np.random.default_rng(seed).permutation(len(labels))
    real, fake = (shuffled[labels[shuffled] == label] for label in (0, 1))
    num_real = max(min(num // 2, len(real)), min(num - len(fake), len(real)))
    return sorted([*real[:num_real].tolist(), *fake[: num - num_real].tolist()])


def compute_pairs(
    dataset: FacesDataset,
    indices: Sequence[int],
    detector: Detector,
    precision: Precision,
) -> list[Pair]:
    """Compute the chosen samples' saliency maps and scores."""
    from torch.utils.data import Subset

    from explain import compute_gradient_saliency_maps
    from explain_inputs import make_displayable
    from map_figures import Pair
    from utils import get_soft_scores_and_true_labels

    model = detector.model
    _, fake_scores, labels = get_soft_scores_and_true_labels(
        Subset(dataset, indices), model, precision=precision
    )
    pairs = []
    for index, label, score in zip(indices, labels, fake_scores, strict=True):
        sample, _ = dataset[index]
        (saliency_map,) = compute_gradient_saliency_maps(
            sample[None], [label], model, precision=precision
        )
        pairs.append(
            Pair(
                path=str(dataset.get_path(index)),
                image=make_displayable(sample, model),
                map=saliency_map.cpu().numpy(),
                label=int(label),
                fake_score=float(score),
            )
        )
    return pairs


if __name__ == "__main__":
    cli.run(main)
