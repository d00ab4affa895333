"""Fail when a file that others stand on has less branch coverage than promised."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from hardware import kernels

PROJECT = Path(__file__).resolve().parents[1]
LEAST_PERCENT = 90.0
# Other processors and machines without a compiler cannot run most of these.
NEED_KERNELS = {"hardware/fused_layers.py", "hardware/fast_xception.py"}
# Scripts run as processes of their own, where coverage does not see them.
SCRIPT_MARK = 'if __name__ == "__main__":'


def main(report_path: str) -> int:
    """Print each library file below the promise; return 1 if there is one."""
    files = json.loads(Path(report_path).read_text())["files"]
    measured = {
        Path(name).as_posix(): entry["summary"]["percent_covered"]
        for name, entry in files.items()
    }
    low = {
        name: measured.get(name, 0.0)
        for name in list_library_files()
        if measured.get(name, 0.0) < LEAST_PERCENT
    }
    for name, percent in low.items():
        print(f"{name}: {percent:.1f} % covered, promised {LEAST_PERCENT:.0f} %")
    return 1 if low else 0


def list_library_files() -> list[str]:
    """List the files at the top and in the rooms for which the promise is made."""
    rooms = [path.parent for path in PROJECT.glob("*/__init__.py")]
    names = {
        path.relative_to(PROJECT).as_posix()
        for folder in (PROJECT, *rooms)
        for path in folder.glob("*.py")
        if SCRIPT_MARK not in path.read_text()
    }
    runs_them = kernels.are_available(torch.float32)
    return sorted(names if runs_them else names - NEED_KERNELS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
