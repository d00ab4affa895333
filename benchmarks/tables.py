"""What a large dataset costs before the first batch: a table's rows, tar files.

A million rows are read, dealt out by group, listed and fingerprinted, in a process of
their own. Then images of 256 x 256 are read from files, and the same from tar files.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from sample_images import make_sample_images

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from faces_dataset import compute_fingerprint, list_names  # noqa: E402
from files.atomic import save_csv  # noqa: E402
from loading.sources.archives import list_members  # noqa: E402
from loading.sources.datasets import Source  # noqa: E402
from scores import groups_from_names  # noqa: E402
from utils import open_splits  # noqa: E402

ROWS_OF_A_GROUP = 32  # frames of a video
READ = 2000  # images, at random places, in each turn


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the table")
    parser.add_argument("--images", type=int, default=20_000, help="read in each way")
    parser.add_argument("--turns", type=int, default=3, help="medians are of so many")
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.table:
        print(json.dumps(measure_table(args.table)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        save_rows(root / "large.csv", args.rows)
        for _ in range(args.turns):
            call = [sys.executable, __file__, "--table", root / "large.csv"]
            print(
                subprocess.run(call, check=True, capture_output=True, text=True).stdout
            )
        compare_archives(root, args.images, args.turns)


def save_rows(path: Path, num: int) -> None:
    """Write a table of `num` pictures that are not there."""
    rows = (
        (
            f"frames/method{i // ROWS_OF_A_GROUP % 5}/video{i // ROWS_OF_A_GROUP:07}/"
            f"{i % ROWS_OF_A_GROUP:05}.jpg",
            ("real", "fake")[i // ROWS_OF_A_GROUP % 2],
            f"video{i // ROWS_OF_A_GROUP:07}",
            f"method{i // ROWS_OF_A_GROUP % 5}",
        )
        for i in range(num)
    )
    save_csv(rows, path, header=("path", "label", "group", "subset"))


def measure_table(path: Path) -> dict[str, float]:
    """Open, list and fingerprint a table; return seconds and megabytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    datasets = open_splits(path.stem, Source(path.parent))
    opened = time.perf_counter()
    names = {split: list_names(dataset) for split, dataset in datasets.items()}
    for split, dataset in datasets.items():
        groups_from_names(names[split], None, dataset.get_column("group"))
    listed = time.perf_counter()
    compute_fingerprint(datasets)
    return {
        "rows": sum(map(len, datasets.values())),
        "read and dealt out, s": opened - start,
        "names and groups listed, s": listed - opened,
        "fingerprint, s": time.perf_counter() - listed,
        "peak memory beyond imports, MB": (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        )
        / 1024,
    }


def compare_archives(root: Path, num: int, turns: int) -> None:
    """Print images a second from files and from tar files, in turns."""
    make_sample_images(root / "drawn", 500)
    drawn = sorted((root / "drawn").rglob("*.jpg"))
    for number in range(num):  # copies: the same file again and again stays in a cache
        source = drawn[number % len(drawn)]
        target = root / f"images/test/{source.parent.name}/{number:07}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    start = time.perf_counter()
    paths = sorted((root / "images").rglob("*.jpg"))
    rows = []
    for number, part in enumerate(np.array_split(paths, -(-num // 10_000))):
        archive = root / f"{number:03}.tar"
        with tarfile.open(archive, "w") as tar:
            for path in part:
                tar.add(path, f"{path.parent.name}/{path.name}")
        rows += [
            (f"{archive.name}/{name}", name[:4], "test", offset, num_bytes)
            for name, offset, num_bytes in list_members(archive)
        ]
    header = ("path", "label", "split", "offset", "bytes")
    save_csv(rows, root / "tar.csv", header=header)
    seconds = time.perf_counter() - start
    print(f"{num} images in tar files, packed and listed: {seconds:.1f} s")
    files = open_splits("images", Source(root), splits=["test"])["test"]
    packed = open_splits("tar", Source(root), splits=["test"])["test"]
    some = np.random.default_rng(0).permutation(num)[:READ]
    rates: dict[str, list[float]] = {"files": [], "tar files": []}
    for _ in range(turns):
        for name, dataset in (("files", files), ("tar files", packed)):
            start = time.perf_counter()
            for index in some.tolist():
                dataset[index]
            rates[name].append(len(some) / (time.perf_counter() - start))
    for name, values in rates.items():
        print(f"{name}: {median(values):.0f} images a second, one thread")
    ratio = median(b / a for a, b in zip(*rates.values(), strict=True))
    print(f"tar files for files, median of {turns} turns: {ratio:.3f}")


if __name__ == "__main__":
    main()
