"""The benchmarks start as scripts, from any folder."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("speed", ["--help"], "--quick"),
        ("survival", ["--kills", "1"], "ended with the same bits"),
    ],
)
def test_benchmark_starts(name, arguments, expected, tmp_path):
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
