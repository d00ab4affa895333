"""Where numbers come from."""

import hashlib
import shlex
from datetime import datetime, timedelta, timezone

from files.provenance import describe_call, describe_file


def test_describe_file_larger_than_a_chunk_has_the_hash_of_all_of_it(tmp_path):
    content = bytes(range(256)) * 10_000
    path = tmp_path / "scores.csv"
    path.write_bytes(content)

    expected = hashlib.sha256(content).hexdigest()
    assert describe_file(path) == {"path": str(path), "sha256": expected}


def test_describe_call_can_be_pasted_into_a_shell():
    words = ["--group-by", "(a b)'", "x.csv"]

    call = describe_call("numerical_analysis.py", words, {"numpy": "2.0"})

    assert shlex.split(call["command"]) == ["python", "numerical_analysis.py", *words]
    assert call["versions"] == {"numpy": "2.0"}
    age = datetime.now(timezone.utc) - datetime.fromisoformat(call["date"])
    assert abs(age) < timedelta(minutes=1)
