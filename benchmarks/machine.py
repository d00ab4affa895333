"""Describe the machine that numbers come from."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch


def describe_machine() -> dict[str, Any]:
    """Return processor, cores that this process may use, memory, versions."""
    described = {
        "processor": _read_field(Path("/proc/cpuinfo"), "model name")
        or platform.processor()
        or platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": _read_field(Path("/proc/meminfo"), "MemTotal"),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
    if hasattr(os, "getloadavg"):
        described["load_at_start"] = round(os.getloadavg()[0], 1)
    if torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
    return described


def _read_field(path: Path, name: str) -> str:
    """Return the first value called `name` in a file of `name: value` lines."""
    if not path.exists():
        return ""
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
