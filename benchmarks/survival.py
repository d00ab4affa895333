"""Kill trainings hundreds of times and check that each ends as an undisturbed one.

    python benchmarks/survival.py --kills 200

Half of the kills come while a file is written. A training is killed at random moments
until it is done, then the next is started; the number of workers alternates.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

import survival  # noqa: E402

MOST_KILLS_EACH = 10  # of a training, so that each comes to its end


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where it trains; needs 1 GB"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script."""
    args = parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        counts, problems = kill_many(Path(name), kills=args.kills, seed=args.seed)
    print(
        f"{counts.kills} kills in {counts.trainings} trainings, "
        f"{counts.within_write} while a file was written, "
        f"{counts.before_snapshot} before the first snapshot"
    )
    print("\n".join(problems) or "every training ended bit for bit as undisturbed")
    return 1 if problems else 0


def kill_many(
    folder: Path, *, kills: int, seed: int
) -> tuple[survival.Counts, list[str]]:
    """Kill trainings until there are enough kills.

    Returns:
        How many kills there were, and each difference from the undisturbed training.
    """
    rng = random.Random(seed)
    survival.make_noise_dataset(folder)
    total, problems = survival.Counts(), []
    with survival.Launcher() as launcher, tqdm(total=kills, unit="kill") as bar:
        start = time.monotonic()
        whole = launcher.run(survival.make_argv(folder), folder / "whole")
        duration_s = time.monotonic() - start
        if whole.status != 0:
            raise RuntimeError(whole.error)
        expected = survival.read_results(whole.folder)
        while total.kills < kills:
            workers = (0, 2)[total.trainings % 2]
            counts = survival.go_on_until_done(
                launcher,
                survival.make_argv(folder, workers=workers),
                folder / "killed",
                rng=rng,
                kills=min(MOST_KILLS_EACH, kills - total.kills),
                duration_s=duration_s / 2,
            )
            results = survival.read_results(folder / "killed")
            problems += survival.find_differences(results, expected)
            if survival.list_temporary_files(folder / "killed"):
                problems.append("temporary files were left")
            total = total + counts
            bar.update(counts.kills)
            shutil.rmtree(folder / "killed")
    return total, problems


if __name__ == "__main__":
    sys.exit(main())
