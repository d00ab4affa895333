"""Fail when a file that others stand on has less branch coverage than promised."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hardware import kernels

LEAST_PERCENT = 90.0
# Other processors and machines without a compiler cannot run most of these.
NEED_KERNELS = () if kernels.are_available() else ("fused.py", "fast_xception.py")
# Scripts run as processes of their own, where coverage does not see them.
SCRIPT_MARK = 'if __name__ == "__main__":'


def main(report_path: str) -> int:
    """Print each library file below the promise; return 1 if there is one."""
    files = json.loads(Path(report_path).read_text())["files"]
    low = {
        name: entry["summary"]["percent_covered"]
        for name, entry in files.items()
        if "/" not in name and SCRIPT_MARK not in Path(name).read_text()
        if name not in NEED_KERNELS
        if entry["summary"]["percent_covered"] < LEAST_PERCENT
    }
    for name, percent in sorted(low.items()):
        print(f"{name}: {percent:.1f} % covered, promised {LEAST_PERCENT:.0f} %")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
