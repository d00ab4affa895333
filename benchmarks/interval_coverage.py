"""How often do the suite's 95 % intervals hold the truth, and its tests raise alarms?

A simulation. Every interval that the analysis prints is computed as the analysis does,
on samples whose truth is known: scores are log-likelihood ratios, normal (binormal) or
with heavy tails (Student's t, three degrees of freedom), rounded to have ties,
unbalanced, or in groups that share half of their variance, as frames of a video do. The
size of a test is how often its p-value is below 5 % when there is nothing to find.
Runs of one recipe are drawn as well, on the same images: half of the noise of a score
is the image's own, and each run tells the classes apart better or worse by chance.

    python benchmarks/interval_coverage.py --out out/coverage --minutes 15

The set-ups take turns, and OUT.json keeps their counts: the same command continues from
there until --repetitions are done. OUT.md is the table so far.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line

from files.atomic import save_json
from files.bounds import COUNT
from metrics.all_metrics import MAX_FPRS
from metrics.delong import compute_delong_interval, compute_paired_delong_test
from metrics.error_rates import compute_point
from metrics.measures import compute_tpr_at_fpr
from metrics.operating_point import choose_threshold
from metrics.runs import compare_sets, measure_runs
from metrics.samples import Samples, check_samples
from metrics.summary import compute_summary, measure_samples

PREVALENCE = 0.01
TESTS = ("ECE test", "paired DeLong", "FPR above its promise", "two sets of runs")
_BATCH = 20  # repetitions between two savings
_NUM_TRUTH = 400_000  # samples of each class that the true values are measured on
_NP_RATE, _NP_CONFIDENCE = 0.05, 0.95


@dataclass(frozen=True)
class Setup:
    """How many real and fake samples to draw, and their AUC if they are binormal."""

    num_real: int
    num_fake: int
    auc: float
    kind: str = "normal"  # or "t3", "ties"
    frames: int = 1

    @property
    def name(self) -> str:
        """Its row in the table."""
        frames = f", groups of {self.frames}" if self.frames > 1 else ""
        return f"{self.num_real}/{self.num_fake}, {self.auc:g}, {self.kind}{frames}"


SETUPS = (
    *(Setup(n, n, auc) for n in (50, 100, 200, 1000) for auc in (0.7, 0.9, 0.97)),
    Setup(100, 100, 0.9, "t3"),
    Setup(1000, 1000, 0.9, "t3"),
    Setup(100, 100, 0.9, "ties"),
    Setup(1000, 1000, 0.9, "ties"),
    Setup(200, 25, 0.9),
    Setup(1000, 25, 0.97),
    Setup(1000, 100, 0.9),
    Setup(150, 150, 0.9, "normal", 10),
    Setup(1000, 1000, 0.9, "normal", 10),
    Setup(2000, 2000, 0.97, "normal", 10),
)


@dataclass(frozen=True)
class RunsSetup:
    """How many runs judge how many images, half of them fake.

    Attributes:
        auc: mean over all runs that there could be.
        spread: standard deviation over runs of the distance of the classes, in
            standard deviations of a score.
    """

    num_runs: int
    num_images: int
    auc: float
    spread: float

    @property
    def name(self) -> str:
        """Its row in the table."""
        start = f"{self.num_runs} runs on {self.num_images} images"
        return f"{start}, {self.auc:g}, spread {self.spread:g}"

    @property
    def shift(self) -> float:
        """The mean distance of the classes: E Phi((s + t z) / sqrt 2) is the AUC."""
        return float(np.sqrt(2 + self.spread**2) * stats.norm.ppf(self.auc))


RUNS_SETUPS = tuple(
    RunsSetup(num_runs, num_images, auc, spread)
    for num_runs in (3, 5)
    for num_images in (60, 200, 400)
    for auc, spread in ((0.8, 0.0), (0.8, 0.2), (0.95, 0.2), (0.95, 0.6))
)
SETUPS += RUNS_SETUPS


def draw_runs(
    setup: RunsSetup, shared: np.ndarray, rng: np.random.Generator
) -> list[Samples]:
    """Draw runs on images, half of whose noise (N,) is given; threshold 0."""
    labels = np.repeat([0, 1], len(shared) // 2)
    shifts = setup.shift + setup.spread * rng.normal(size=setup.num_runs)
    noise = np.sqrt(0.5) * (shared + rng.normal(size=(setup.num_runs, len(shared))))
    rows = shifts[:, None] * (labels - 0.5) + noise
    return [check_samples(row, labels, 0.0) for row in rows]


def check_runs(
    setup: RunsSetup, seed: int, num_resamples: int
) -> tuple[dict[str, bool], dict[str, float]]:
    """Return which intervals of one drawing hold the truth, and how wide they are."""
    rng = np.random.default_rng([seed, *setup.name.encode()])
    shared = rng.normal(size=setup.num_images)
    runs, others = (draw_runs(setup, shared, rng) for _ in range(2))
    options = {"num_resamples": num_resamples, "seed": seed}
    numbers = measure_runs(runs, **options)
    accuracy = stats.norm.cdf(setup.shift / np.sqrt(4 + setup.spread**2))
    truth = {"auc": setup.auc, "accuracy": accuracy, "eer": 1 - accuracy}
    intervals = {f"{n} of runs": (numbers[f"{n}_interval"], truth[n]) for n in truth}
    error = stats.sem(numbers["auc_runs"]) * stats.t.ppf(0.975, setup.num_runs - 1)
    ends = numbers["auc"] - error, numbers["auc"] + error
    intervals["(auc of runs, images ignored)"] = ends, setup.auc
    single = compute_delong_interval(runs[0].scores, runs[0].labels)[1:3]
    intervals["(auc of one run, runs ignored)"] = single, setup.auc
    bounded = {n: (ends, value) for n, (ends, value) in intervals.items() if ends}
    checks = {n: bool(e[0] <= value <= e[1]) for n, (e, value) in bounded.items()}
    widths = {n: float(ends[1] - ends[0]) for n, (ends, _) in bounded.items()}
    p_value = compare_sets(runs, others, **options)["auc"].p_value
    return {**checks, "two sets of runs": bool(p_value < 0.05)}, widths


def draw_noise(
    setup: Setup, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the noise of scores (size,), and the numbers of their groups."""
    groups = np.arange(size) // setup.frames
    if setup.kind == "t3":
        return rng.standard_t(3, size=size), groups
    noise = rng.normal(size=size)
    if setup.frames > 1:
        shared = rng.normal(size=groups.max() + 1)[groups]
        noise = np.sqrt(0.5) * (noise + shared)
    return noise, groups


def draw_samples(
    setup: Setup, rng: np.random.Generator, sizes: Sequence[int] | None = None
) -> tuple[Samples, np.ndarray | None]:
    """Draw samples and their groups; normal scores are calibrated."""
    num_real, num_fake = sizes or (setup.num_real, setup.num_fake)
    shift = np.sqrt(2) * stats.norm.ppf(setup.auc)
    labels = np.repeat([0, 1], [num_real, num_fake])
    parts = [draw_noise(setup, size, rng) for size in (num_real, num_fake)]
    values = np.concatenate([part[0] for part in parts]) + shift * (labels - 0.5)
    if setup.kind == "ties":
        values = np.round(4 * values) / 4
    groups = np.concatenate([parts[0][1], parts[1][1] + parts[0][1].max() + 1])
    llrs = shift * values
    prior = np.log(num_fake / num_real)
    fake_scores = special.expit(llrs + prior)
    groups = groups if setup.frames > 1 else None
    columns = {"fake_scores": fake_scores, "llrs": llrs, "groups": groups}
    return check_samples(llrs, labels, 0.5, **columns), groups


def compute_truth(setup: Setup) -> dict[str, float]:
    """Measure the true values on very many samples with the same share of fakes."""
    share = setup.num_fake / (setup.num_real + setup.num_fake)
    sizes = (round(2 * _NUM_TRUTH * (1 - share)), round(2 * _NUM_TRUTH * share))
    single = replace(setup, frames=1)
    samples, _ = draw_samples(single, np.random.default_rng(0), sizes)
    point = compute_point(samples, samples.called_fake, prevalence=PREVALENCE)
    tprs = {
        f"tpr_at_fpr_{rate:g}": compute_tpr_at_fpr(samples.in_order, rate)
        for rate in MAX_FPRS
    }
    if setup.kind == "ties":  # between scores a rate is reached on a straight line
        fp, tp = (np.append(0, of) for of in samples.in_order.count_positives())
        tprs = {
            f"tpr_at_fpr_{rate:g}": np.interp(rate * fp[-1], fp, tp) / tp[-1]
            for rate in MAX_FPRS
        }
    return measure_samples(samples) | point | tprs


def check_intervals(
    setup: Setup, truth: dict[str, float], seed: int, num_resamples: int
) -> dict[str, bool]:
    """Return which intervals of one drawing hold the truth and which tests alarm."""
    rng = np.random.default_rng([seed, *setup.name.encode()])  # its own noise
    samples, groups = draw_samples(setup, rng)
    report = compute_summary(
        samples, num_resamples=num_resamples, seed=seed, prevalence=PREVALENCE
    )
    report |= report["operating_points"][0]
    checks = {
        name.removesuffix("_interval"): bool(interval[0] <= value <= interval[1])
        for name, interval in report.items()
        if name.endswith("_interval") and interval is not None
        for value in [truth[name.removesuffix("_interval")]]
    }
    if setup.kind == "normal":  # the others' scores are not calibrated
        checks["ECE test"] = report["ece_p_value"] < 0.05
    return checks | check_tests(setup, samples, groups, rng)


def check_tests(
    setup: Setup, samples: Samples, groups: np.ndarray | None, rng: np.random.Generator
) -> dict[str, bool]:
    """Return which of the other tests and promises fail."""
    # Two detectors with this AUC find the same images hard: they share half of the
    # variance of their noise.
    shift = np.sqrt(2) * stats.norm.ppf(setup.auc)
    signal = shift**2 * (samples.labels - 0.5)
    own, other, common = (
        drawn.scores - signal
        for drawn in (samples, *(draw_samples(setup, rng)[0] for _ in range(2)))
    )
    rows = [signal + np.sqrt(0.5) * (noise + common) for noise in (own, other)]
    test = compute_paired_delong_test(*rows, samples.labels, groups=groups)
    checks = {"paired DeLong": bool(test.p_value < 0.05)}
    # 59 real samples are the fewest that this promise can be made with.
    if setup.kind == "normal" and groups is None and setup.num_real >= 59:
        threshold = choose_threshold(
            samples.scores, samples.labels, _NP_RATE, confidence=_NP_CONFIDENCE
        )
        true_fpr = stats.norm.sf(threshold / shift + shift / 2)
        checks["FPR above its promise"] = bool(true_fpr > _NP_RATE)
    return checks


def add_repetitions(
    results: dict[str, Any], setup: Setup | RunsSetup, count: int, num_resamples: int
) -> None:
    """Draw more samples of a set-up and count in `results` which checks hold."""
    row = results.setdefault(setup.name, {"repetitions": 0, "counts": {}})
    if isinstance(setup, RunsSetup):
        for _ in range(count):
            checks, widths = check_runs(setup, row["repetitions"], num_resamples)
            _count(row, checks)
            for name, width in widths.items():
                sums = row.setdefault("widths", {})
                sums[name] = sums.get(name, 0.0) + width
        return
    truth = row.setdefault("truth", None) or compute_truth(setup)
    row["truth"] = {k: v for k, v in truth.items() if isinstance(v, float)}
    for _ in range(count):
        _count(row, check_intervals(setup, truth, row["repetitions"], num_resamples))


def _count(row: dict[str, Any], checks: dict[str, bool]) -> None:
    row["repetitions"] += 1
    for name, holds in checks.items():
        held, total = row["counts"].get(name, (0, 0))
        row["counts"][name] = (held + holds, total + 1)


def format_table(results: dict[str, Any]) -> str:
    """Return each interval's and test's lowest and highest share, in Markdown."""
    names = sorted({name for row in results.values() for name in row["counts"]})
    names = [n for n in names if not n.startswith("(")]  # what not to do
    names = [n for n in names if n not in TESTS] + [n for n in TESTS if n in names]
    lines = [
        "| interval or test | least | most | outside 93 to 98 % (tests: 3 to 7 %) |",
        "| --- | --- | --- | --- |",
    ]
    for name in names:
        bounds = (0.03, 0.07) if name in TESTS else (0.93, 0.98)
        shares = {
            setup: held / total
            for setup, row in results.items()
            for held, total in [row["counts"].get(name, (0, 0))]
            if total
        }
        outside = [
            f"{setup}: {100 * share:.1f}"
            for setup, share in shares.items()
            if not bounds[0] <= share <= bounds[1]
        ]
        ends = min(shares.values()), max(shares.values())
        cells = [name, *(f"{100 * end:.1f} %" for end in ends), "; ".join(outside)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def format_widths(results: dict[str, Any]) -> str:
    """Return the coverage and mean width of each interval of runs, in Markdown."""
    rows = {setup: row for setup, row in results.items() if "widths" in row}
    if not rows:
        return ""
    names = sorted({name for row in rows.values() for name in row["widths"]})
    lines = ["", f"| set-up | {' | '.join(names)} |", f"|{' --- |' * (len(names) + 1)}"]
    for setup, row in rows.items():
        cells = [setup]
        for name in names:
            held, total = row["counts"].get(name, (0, 0))
            width = row["widths"].get(name, 0.0) / max(total, 1)
            cells.append(f"{100 * held / max(total, 1):.1f} %, {width:.3f} wide")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.Parser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--repetitions",
        type=command_line.take(COUNT),
        default=1000,
        help="of each set-up",
    )
    parser.add_argument("--resamples", type=command_line.take(COUNT), default=400)
    parser.add_argument(
        "--minutes",
        type=float,
        default=15.0,
        help="stop after so many; repeat to continue",
    )
    parser.add_argument("--only-runs", action="store_true", help="no other set-ups")
    parser.add_argument(
        "--out", type=Path, default=Path("out/interval_coverage"), metavar="OUT"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Continue the repetitions, then print and save the table so far."""
    args = parse_args(argv)
    json_path, table_path = (args.out.with_suffix(end) for end in (".json", ".md"))
    results = json.loads(json_path.read_text()) if json_path.exists() else {}
    end = time.monotonic() + 60 * args.minutes
    while time.monotonic() < end:
        setups = RUNS_SETUPS if args.only_runs else SETUPS
        setup = min(setups, key=lambda s: results.get(s.name, {}).get("repetitions", 0))
        done = results.get(setup.name, {}).get("repetitions", 0)
        if done >= args.repetitions:
            break
        count = min(_BATCH, args.repetitions - done)
        add_repetitions(results, setup, count, args.resamples)
        save_json(results, json_path)
    table = format_table(results) + format_widths(results)
    table_path.write_text(table, encoding="utf-8")
    print(table)
    print(f"{min(row['repetitions'] for row in results.values())} repetitions or more")
    print(f"wrote {json_path} and {table_path}")


if __name__ == "__main__":
    command_line.run(main)
