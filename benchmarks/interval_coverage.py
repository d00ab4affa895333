"""How often do the suite's 95 % intervals hold the truth? A simulation that says.

Real scores are drawn from N(0, 1) and fake ones from N(m, 1), squashed into [0, 1];
then AUC, EER and the other true values are known from m. With --frames F the samples
come in groups of F that share half of their variance, as frames of a video do.

    python benchmarks/interval_coverage.py --json out/interval_coverage.json
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import integrate, special, stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line
from files.atomic import save_json
from metrics import bootstrap_metrics, compute_delong_interval, compute_metrics
from metrics import compute_logit_interval as get_logit
from metrics import compute_percentile_interval as get_percentiles

METHODS = (
    "AUC DeLong, logit",
    "AUC DeLong, plain",
    "AUC bootstrap",
    "EER bootstrap",
    "accuracy bootstrap",
    "AP bootstrap",
    "TPR@1% bootstrap",
)


def get_true_values(auc: float) -> dict[str, float]:
    """Return the metrics of the binormal model with this AUC, classes alike in size."""
    shift = np.sqrt(2) * stats.norm.ppf(auc)
    cuts = np.linspace(shift + 9, -9, 200_001)
    recalls, false_rates = stats.norm.sf(cuts - shift), stats.norm.sf(cuts)
    precisions = recalls / (recalls + false_rates)
    return {
        "auc": auc,
        "eer": stats.norm.sf(shift / 2),
        "accuracy": stats.norm.cdf(shift / 2),
        "average_precision": float(integrate.trapezoid(precisions, recalls)),
        "tpr_at_fpr_0.01": stats.norm.sf(stats.norm.isf(0.01) - shift),
    }


def draw_samples(
    num_a_class: int, auc: float, frames: int, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Draw scores (2N,), labels (2N,) and, for frames > 1, groups (2N,)."""
    shift = np.sqrt(2) * stats.norm.ppf(auc)
    labels = np.repeat([0, 1], num_a_class)
    values = rng.normal(size=labels.size)
    groups = None
    if frames > 1:
        groups = np.arange(labels.size) // frames
        common = rng.normal(size=groups.max() + 1)[groups]
        values = np.sqrt(0.5) * (values + common)
    return special.expit(values + shift * (labels - 0.5)), labels, groups


def compute_intervals(
    scores: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None,
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, tuple[str, tuple[float, float] | None]]:
    """Return method -> (metric, interval), None where there is no interval."""
    metrics = compute_metrics(scores, labels)
    delong = compute_delong_interval(scores, labels, groups=groups)
    margin = stats.norm.ppf(0.975) * delong.standard_error
    resampled = bootstrap_metrics(
        scores, labels, groups=groups, num_resamples=num_resamples, seed=seed
    )
    bootstrap = {
        "auc": get_logit(resampled["auc"], metrics["auc"]),
        "eer": get_percentiles(resampled["eer"]),
        "accuracy": get_logit(resampled["accuracy"], metrics["accuracy"]),
        "average_precision": get_logit(
            resampled["average_precision"], metrics["average_precision"]
        ),
        "tpr_at_fpr_0.01": get_percentiles(resampled["tpr_at_fpr_0.01"]),
    }
    return dict(
        zip(
            METHODS,
            [
                ("auc", (delong.low, delong.high)),
                ("auc", (delong.auc - margin, delong.auc + margin)),
                *bootstrap.items(),
            ],
            strict=True,
        )
    )


def measure_coverage(
    num_a_class: int,
    auc: float,
    frames: int = 1,
    *,
    repetitions: int = 1000,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, float | None]:
    """Return method -> share of repetitions whose interval holds the true value."""
    truths = get_true_values(auc)
    hits = defaultdict(list)
    title = f"n={num_a_class} AUC={auc} frames={frames}"
    for repetition in command_line.progress(range(repetitions), title):
        rng = np.random.default_rng([seed, repetition])
        samples = draw_samples(num_a_class, auc, frames, rng=rng)
        intervals = compute_intervals(
            *samples, num_resamples=num_resamples, seed=repetition
        )
        for method, (metric, interval) in intervals.items():
            if interval is not None:
                hits[method].append(interval[0] <= truths[metric] <= interval[1])
    return {
        method: float(np.mean(hits[method])) if hits[method] else None
        for method in METHODS
    }


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=command_line.positive_int, default=1000)
    parser.add_argument("--resamples", type=command_line.positive_int, default=1000)
    parser.add_argument(
        "--sizes",
        type=command_line.positive_int,
        nargs="+",
        default=[50, 200, 700],
        help="samples in each class",
    )
    parser.add_argument("--aucs", type=float, nargs="+", default=[0.7, 0.9, 0.97])
    parser.add_argument(
        "--frames", type=command_line.positive_int, default=1, help="samples in a group"
    )
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--seed", type=command_line.non_negative_int, default=0)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table of coverages and save it where asked."""
    args = parse_args(argv)
    print("  n/class   AUC" + "".join(f"{method:>20}" for method in METHODS))
    rows = []
    for size in args.sizes:
        for auc in args.aucs:
            coverage = measure_coverage(
                size,
                auc,
                args.frames,
                repetitions=args.repetitions,
                num_resamples=args.resamples,
                seed=args.seed,
            )
            cells = ("-" if v is None else f"{v:.1%}" for v in coverage.values())
            print(f"{size:9d} {auc:5.2f}" + "".join(f"{c:>20}" for c in cells))
            sys.stdout.flush()
            rows.append({"n": size, "auc": auc, "frames": args.frames, **coverage})
    if args.json:
        settings = {"repetitions": args.repetitions, "resamples": args.resamples}
        save_json({"settings": settings, "coverage": rows}, args.json)
        print(args.json)


if __name__ == "__main__":
    command_line.run(main)
