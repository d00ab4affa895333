"""The benchmarks start as scripts, from any folder."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_benchmark_starts(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "speed.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout
