"""Where numbers come from."""

import hashlib
import shlex
from datetime import datetime, timedelta, timezone

from files.provenance import VERSION, describe_call, describe_file, format_command


def test_describe_file_larger_than_a_chunk_has_the_hash_of_all_of_it(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "a.csv").write_bytes(content)
    expected = {"path": str(tmp_path / "a.csv"), "sha256": ""}
    expected["sha256"] = hashlib.sha256(content).hexdigest()
    assert describe_file(tmp_path / "a.csv") == expected


def test_describe_call_is_a_command_to_paste_and_the_versions():
    words = ["--group-by", "(a b)'", "x.csv"]
    call = describe_call("/home/me/numerical_analysis.py", words, "scipy")
    assert shlex.split(call["command"]) == ["python", "numerical_analysis.py", *words]
    names = ["suite", "python", "torch", "torchvision", "numpy", "pillow", "scipy"]
    assert list(call["versions"]) == names
    assert call["versions"]["suite"] == VERSION
    on_windows = format_command("a.py", [r"C:\my data\x.pt", "(a b)'"], windows=True)
    assert on_windows == r'''python a.py "C:\my data\x.pt" "(a b)'"'''
    age = datetime.now(timezone.utc) - datetime.fromisoformat(call["date"])
    assert abs(age) < timedelta(minutes=1)
