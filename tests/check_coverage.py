"""Fail if a library file has less branch coverage than promised."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from hardware import kernels

PROJECT = Path(__file__).resolve().parents[1]
LEAST_PERCENT = 90.0
# Other processors, and machines without a compiler, cannot run most of these.
NEED_KERNELS = {"hardware/fused_layers.py", "hardware/fast_xception.py"}
# Scripts run as processes of their own, where coverage does not see them.
SCRIPT_MARK = 'if __name__ == "__main__":'


def main(report_path: str) -> int:
    """Print each library file below the promise; return 1 if there is one."""
    files = json.loads(Path(report_path).read_text())["files"]  # never imported: 0 %
    skipped = set() if kernels.are_available(torch.float32) else NEED_KERNELS
    is_low = False
    for name, entry in files.items():
        percent = entry["summary"]["percent_covered"]
        if percent >= LEAST_PERCENT or Path(name).as_posix() in skipped:
            continue
        if SCRIPT_MARK not in (PROJECT / name).read_text():
            print(f"{name}: {percent:.1f} % covered, promised {LEAST_PERCENT:.0f} %")
            is_low = True
    return int(is_low)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
