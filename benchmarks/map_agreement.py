"""How close are saliency maps in reduced precision to those in float32?

    python benchmarks/map_agreement.py -d fakes_dataset -m SimpleNet --limit 100

Spearman's rank correlation of the pixels: of each test image's map, and of each class's
mean map.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hardware import show_progress

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy.stats import spearmanr
from torch import nn

import command_line
from explaining.methods import compute_gradient_saliency_maps
from files.atomic import check_writable, save_json
from files.names import CLASS_NAMES, default_checkpoint_path
from hardware import Precision, choose_precision, prepare_device
from loading import BatchLoader
from trainer import Batches
from utils import load_checkpoint, load_dataset


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser)
    command_line.add_checkpoint_flag(parser)
    command_line.add_compute_flags(parser, seed=False)
    parser.add_argument(
        "--json", type=Path, default=Path("out/map_agreement.json"), metavar="FILE"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.json.parent)
    reduced = choose_precision(args.precision, prepare_device(args.device))
    path = args.checkpoint_path or default_checkpoint_path(args.dataset, args.model)
    model = load_checkpoint(path, args.model, reduced.device)
    dataset = load_dataset(
        args.dataset,
        "test",
        data_root=args.data_root,
        limit=args.limit,
        full_decoding=args.full_decoding,
    )
    loader = BatchLoader(
        dataset,
        args.batch_size,
        model.preprocessing,
        device=reduced.device,
        workers=args.workers,
    )
    batches = show_progress(loader, "maps")
    rows = compare_maps(*compute_both_maps(batches, model, reduced))
    print(f"{args.model} on {args.dataset}, {reduced.name} against fp32")
    for row in rows:
        print(
            f"{row['class']}: {row['images']} images ({row['constant']} with a constant"
            f" map), median {row['median']:.3f}, lowest {row['lowest']:.3f}; "
            f"mean map {row['mean_map']:.3f}"
        )
    report = {"dataset": args.dataset, "model": args.model, "precision": reduced.name}
    numbers = [{k: None if v != v else v for k, v in row.items()} for row in rows]
    save_json({**report, "rows": numbers}, args.json)
    print(f"saved {args.json}")


def compute_both_maps(
    batches: Batches, model: nn.Module, reduced: Precision
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return maps (N, H, W) in float32 and in reduced precision, and labels (N,)."""
    pairs, labels = [], []
    for images, batch_labels in batches:
        pair = [
            compute_gradient_saliency_maps(images, batch_labels, model, precision=p)
            for p in (None, reduced)
        ]
        pairs.append(np.stack([maps.cpu().numpy() for maps in pair]))
        labels.append(batch_labels.cpu().numpy())
    return *np.concatenate(pairs, axis=1), np.concatenate(labels)


def compare_maps(
    exact: np.ndarray, reduced: np.ndarray, labels: np.ndarray
) -> list[dict[str, Any]]:
    """Correlate two lots of maps.

    Args:
        exact, reduced: float (N, H, W).
        labels: int (N,), 0 real, 1 fake.

    Returns:
        For each class: `images`, how many of them have a `constant` map, `median` and
        `lowest` rank correlation of the others' maps, that of the `mean_map`s. NaN
        where there is none.
    """
    rows = []
    for label, name in enumerate(CLASS_NAMES):
        chosen = [maps[labels == label] for maps in (exact, reduced)]
        each = np.array([correlate(*pair) for pair in zip(*chosen, strict=True)])
        ranked = each[~np.isnan(each)]
        rows.append(
            {
                "class": name,
                "images": len(each),
                "constant": len(each) - len(ranked),
                "median": float(np.median(ranked)) if len(ranked) else np.nan,
                "lowest": float(np.min(ranked)) if len(ranked) else np.nan,
                "mean_map": correlate(*(maps.mean(axis=0) for maps in chosen)),
            }
        )
    return rows


def correlate(one: np.ndarray, other: np.ndarray) -> float:
    """Return the rank correlation of two maps' pixels, NaN if one is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


if __name__ == "__main__":
    command_line.run(main)
