"""How long does a large collection take to open, and what memory does it need?

Empty files are made in a temporary folder and removed after; only the first batch's
are images.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hardware import show_progress

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

import command_line
from faces_dataset import FacesDataset, ResizeToTensor
from files.atomic import check_writable, save_json
from loading import BatchLoader

BATCH_SIZE = 32
HEADER = ("files", "list s", "MB held", "first batch s", "MB a worker")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    parser.add_argument(
        "--sizes",
        type=command_line.positive_int,
        nargs="+",
        default=[10**4, 10**5, 10**6],
        metavar="N",
        help="numbers of files, half of each class",
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where to make the files"
    )
    parser.add_argument(
        "--json", type=Path, default=Path("out/listing.json"), metavar="FILE"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    if args.measure is not None:
        print(json.dumps(measure(args.measure)))
        return
    check_writable(args.json.parent)
    rows = []
    print("{:>9}{:>9}{:>10}{:>15}{:>13}".format(*HEADER))
    for size in args.sizes:
        with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
            make_files(Path(temporary), size)
            rows.append({"files": size, **measure_in_process(Path(temporary))})
        print("{:9}{:9.2f}{:10.1f}{:15.2f}{:13.1f}".format(*rows[-1].values()))
    save_json(rows, args.json)
    print(f"saved {args.json}")


def make_files(folder: Path, num_files: int) -> None:
    """Make `num_files` files in real/ and fake/, all empty but one batch of each."""
    for name in ("real", "fake"):
        (folder / name).mkdir()
        numbers = range(num_files // 2)
        for index in show_progress(numbers, f"make {num_files} files, {name}"):
            path = folder / name / f"{index:08}.png"
            if index < BATCH_SIZE:
                Image.new("RGB", (256, 256)).save(path)
            else:
                path.touch()


def measure_in_process(folder: Path) -> dict[str, Any]:
    """Measure in a fresh process, whose memory holds nothing else."""
    command = [sys.executable, __file__, "--measure", str(folder)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise ValueError(f"the measurement of {folder} failed: see the line above")
    return json.loads(result.stdout)


def measure(folder: Path) -> dict[str, float]:
    """Open a folder, and read the first batch by a worker process.

    Returns:
        Seconds to list; megabytes that the dataset adds to the process; seconds from
        the start of listing to the first batch; megabytes of a worker that it does
        not share with this process. Memory is 0 where the system does not tell.
    """
    before = read_memory("self", "Private")
    start = time.perf_counter()
    dataset = FacesDataset(folder, ResizeToTensor())
    listed = time.perf_counter()
    held = read_memory("self", "Private") - before
    loader = BatchLoader(dataset, BATCH_SIZE, workers=1)
    batches = iter(loader)
    next(batches)
    first_batch = time.perf_counter()
    (worker,) = loader._loader._iterator._workers
    return {
        "list_seconds": listed - start,
        "held_mb": held / 1e6,
        "first_batch_seconds": first_batch - start,
        "worker_mb": read_memory(str(worker.pid), "Private") / 1e6,
    }


def read_memory(process: str, kind: str) -> int:
    """Return the bytes of one kind that a process holds (0 where not Linux)."""
    path = Path("/proc") / process / "smaps_rollup"
    if not path.exists():
        return 0
    lines = [line.split() for line in path.read_text().splitlines()]
    return 1024 * sum(int(line[1]) for line in lines if line[0].startswith(kind + "_"))


if __name__ == "__main__":
    command_line.run(main)
