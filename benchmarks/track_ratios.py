"""Does a person's likelihood ratio in a video hold, though its frames are dependent?

A simulation. A frame's score is normal. Frames of a track share a part of its noise,
and the rest is that of a process which remembers (AR(1)), as neighbouring frames look
alike. So the true ratio of a track's mean score is known. Three ways to claim one are
compared: the line chosen on validation's tracks, as the suite does where it knows
groups; the line chosen on single images, as it does elsewhere, with the mean for an
image's score; and the product of the frames' ratios, which takes them for independent.

    python benchmarks/track_ratios.py --out out/track_ratios.md
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line

from files.atomic import save_text
from files.bounds import COUNT
from files.classes import FAKE, REAL
from hardware import show_progress
from metrics.likelihood_ratios import LlrCalibration, fit_llr_calibration

FRAME_AUC = 0.9
SHIFT = float(np.sqrt(2) * stats.norm.ppf(FRAME_AUC))
MEMORY = 0.8  # correlation of a frame's own noise with the frame before
NUM_TESTED = 1000  # tracks of each class in a repetition
WAYS = ("tracks", "images", "product")


class TrackSetup(NamedTuple):
    """What validation and the videos to be judged are like.

    Attributes:
        num_tracks: of validation, in each class; as many images without groups.
        shared: share of the noise's variance that a track's frames have in common.
        num_frames: of a track in validation.
        num_tested: of a track that is judged.
    """

    num_tracks: int
    shared: float
    num_frames: int = 10
    num_tested: int = 10


SETUPS = (
    *(TrackSetup(num, shared) for num in (20, 50, 200) for shared in (0.0, 0.5, 0.9)),
    *(TrackSetup(50, shared, num_tested=100) for shared in (0.0, 0.5, 0.9)),
    *(TrackSetup(50, shared, 100, num_tested=5) for shared in (0.0, 0.5, 0.9)),
)


class Claims(NamedTuple):
    """Natural log-likelihood ratios of tracks, claimed and true (N,); labels (N,)."""

    claimed: np.ndarray
    true: np.ndarray
    labels: np.ndarray


def draw_tracks(
    setup: TrackSetup, num_tracks: int, num_frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw frames' scores (2 * num_tracks, num_frames), and the tracks' labels."""
    labels = np.repeat([REAL, FAKE], num_tracks)
    own = rng.normal(size=(len(labels), num_frames))
    for number in range(1, num_frames):
        fresh = np.sqrt(1 - MEMORY**2) * own[:, number]
        own[:, number] = MEMORY * own[:, number - 1] + fresh
    common = rng.normal(size=(len(labels), 1))
    noise = np.sqrt(setup.shared) * common + np.sqrt(1 - setup.shared) * own
    return SHIFT * (labels[:, None] - 0.5) + noise, labels


def compute_variance(setup: TrackSetup, num_frames: int) -> float:
    """Return the variance of a track's mean score, within its class."""
    lags = np.abs(np.subtract.outer(np.arange(num_frames), np.arange(num_frames)))
    return setup.shared + (1 - setup.shared) * float((MEMORY**lags).mean())


def claim(setup: TrackSetup, rng: np.random.Generator) -> dict[str, Claims]:
    """Fit the lines on drawn validation images, and claim ratios of other tracks."""
    scores, labels = draw_tracks(setup, setup.num_tracks, setup.num_frames, rng)
    of_tracks = _fit(scores.mean(axis=1), labels)
    of_images = _fit(scores[:, 0], labels)
    tested, true_labels = draw_tracks(setup, NUM_TESTED, setup.num_tested, rng)
    means = tested.mean(axis=1)
    true = SHIFT * means / compute_variance(setup, setup.num_tested)
    claimed = (
        of_tracks.compute_llrs(means),
        of_images.compute_llrs(means),
        of_images.compute_llrs(tested).sum(axis=1),
    )
    return {
        way: Claims(llrs, true, true_labels)
        for way, llrs in zip(WAYS, claimed, strict=True)
    }


def _fit(scores: np.ndarray, labels: np.ndarray) -> LlrCalibration:
    return fit_llr_calibration(scores, labels, np.ones(len(labels)))


def measure(claims: Claims) -> dict[str, float]:
    """Measure claims: misleading ones, exaggerated ones, and what they cost (Cllr)."""
    against = np.where(claims.labels == REAL, claims.claimed, -claims.claimed)
    excess = np.abs(claims.claimed) - np.sign(claims.claimed) * claims.true
    return {
        "misleading by 10": float((against > np.log(10)).mean()),
        "misleading by 100": float((against > np.log(100)).mean()),
        "exaggerated": float((excess > np.log(10)).mean()),
        "Cllr": compute_cllr(claims.claimed, claims.labels),
        "Cllr of the true ratios": compute_cllr(claims.true, claims.labels),
    }


def compute_cllr(llrs: np.ndarray, labels: np.ndarray) -> float:
    """Return what log-likelihood ratios cost, bits; Brümmer & du Preez 2006, eq. 8."""
    costs = np.logaddexp(0, np.where(labels == REAL, llrs, -llrs)) / np.log(2)
    return float((costs[labels == REAL].mean() + costs[labels == FAKE].mean()) / 2)


def list_rows(num_repetitions: int) -> Iterator[str]:
    """Yield the rows of a table in Markdown, behind a progress bar."""
    yield (
        "| validation tracks a class, frames of each | shared noise | frames judged "
        "| ratio of | over 10 for the wrong side | over 100 | more than tenfold too "
        "strong | Cllr | Cllr of true ratios |"
    )
    yield "| --- " * 9 + "|"
    for setup in show_progress(SETUPS, "draw tracks"):
        seed = [setup.num_tracks, round(10 * setup.shared), *setup[2:]]
        rng = np.random.default_rng(seed)
        drawn = [claim(setup, rng) for _ in range(num_repetitions)]
        for way in WAYS:
            rows = [measure(one[way]) for one in drawn]
            means = {name: np.mean([row[name] for row in rows]) for name in rows[0]}
            shares, costs = list(means.values())[:3], list(means.values())[3:]
            name = f"{setup.num_tracks}, {setup.num_frames} | {setup.shared:g}"
            cells = [name, str(setup.num_tested), way, *(f"{s:.1%}" for s in shares)]
            yield f"| {' | '.join([*cells, *(f'{c:.3f}' for c in costs)])} |"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.Parser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--repetitions", type=command_line.take(COUNT), default=200, help="of each row"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/track_ratios.md"), metavar="FILE"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, claim, measure; print and save the table."""
    args = parse_args(argv)
    table = "\n".join(list_rows(args.repetitions)) + "\n"
    save_text(table, args.out)
    print(table)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    command_line.run(main)
