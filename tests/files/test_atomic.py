"""Files are written whole or not at all."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from files.atomic import (
    check_output,
    check_writable,
    open_csv,
    open_json_lines,
    save_csv,
    save_json,
    write_atomically,
)

REPOSITORY = Path(__file__).resolve().parents[2]


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_atomically_new_folder_holds_the_file_alone(tmp_path):
    path = tmp_path / "a" / "b" / "file.bin"
    write_atomically(path, lambda handle: handle.write(b"new"))
    assert path.read_bytes() == b"new"
    assert list_names(path.parent) == ["file.bin"]


def test_write_atomically_failure_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def write(handle):
        handle.write(b"half of the n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert list_names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_write_atomically_full_disk_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, lambda handle: handle.write(b"new"))
    assert path.read_bytes() == b"old"
    assert list_names(tmp_path) == ["file.bin"]


LIMITED_WRITE = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
from files import atomic
try:
    atomic.save_json(list(range(100_000)), Path(sys.argv[1]))
except OSError as error:
    print(error.strerror)
"""


def test_save_json_file_size_limit_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("[1]")
    result = subprocess.run(
        [sys.executable, "-B", "-c", LIMITED_WRITE, str(path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "File too large"
    assert path.read_text() == "[1]"
    assert list_names(tmp_path) == ["file.json"]


LEFTOVERS = {
    "file": lambda place, other: place.write_bytes(b"half of a longer content"),
    "link": lambda place, other: place.symlink_to(other),
    "hard link": lambda place, other: place.hardlink_to(other),
    "pipe": lambda place, other: os.mkfifo(place),  # to open it would wait for ever
}


@pytest.mark.parametrize("kind", LEFTOVERS)
def test_write_atomically_what_has_the_temporary_name_goes(tmp_path, kind):
    other = tmp_path / "other"
    other.write_bytes(b"untouched")
    LEFTOVERS[kind](tmp_path / ".file.tmp", other)
    write_atomically(str(tmp_path / "file"), lambda handle: handle.write(b"new"))
    assert (tmp_path / "file").read_bytes() == b"new"
    assert other.read_bytes() == b"untouched"
    assert list_names(tmp_path) == ["file", "other"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_write_atomically_permissions_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", lambda handle: None)
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_write_atomically_without_folder_descriptors_still_writes(
    tmp_path, monkeypatch
):
    monkeypatch.delattr(os, "O_DIRECTORY")  # as on Windows
    write_atomically(tmp_path / "file", lambda handle: handle.write(b"new"))
    assert (tmp_path / "file").read_bytes() == b"new"


def test_save_json_any_text_comes_back(tmp_path):
    value = {"név": ["寿", os.fsdecode(b"\xff.png"), 1.5, None]}
    save_json(value, tmp_path / "file.json")
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.endswith("}\n")
    assert "寿" in text


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_save_json_non_finite_number_is_refused_and_writes_nothing(tmp_path, number):
    with pytest.raises(ValueError, match="JSON"):
        save_json([number], tmp_path / "file.json")
    assert list_names(tmp_path) == []


def test_save_csv_awkward_names_keep_their_bytes(tmp_path):
    rows = [["a,b", 1], ['say "x"', 2], [os.fsdecode(b"\xff.png"), 3]]
    save_csv(iter(rows), tmp_path / "file.csv", header=["name", "n"])
    expected = b'name,n\n"a,b",1\n"say ""x""",2\n\xff.png,3\n'
    assert (tmp_path / "file.csv").read_bytes() == expected


def test_check_writable_missing_folder_leaves_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert list_names(tmp_path) == []


@pytest.mark.parametrize("below", [".", "sub"])
def test_check_writable_file_in_place_of_a_folder_is_refused(tmp_path, below, one_line):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OSError, match="cannot write to the folder") as error:
        check_writable(tmp_path / "file" / below)
    assert str(tmp_path / "file") in one_line(error)
    assert (tmp_path / "file").read_bytes() == b"old"


def test_write_atomically_reader_in_between_sees_the_old_file(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    seen = []

    def write(handle):
        handle.write(b"new")
        handle.flush()
        seen.append(path.read_bytes())

    write_atomically(path, write)
    assert (seen, path.read_bytes()) == ([b"old"], b"new")


def test_write_atomically_makes_the_content_then_the_name_durable(
    tmp_path, monkeypatch
):
    path = tmp_path / "file.bin"
    synced = []

    def fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, lambda handle: handle.write(b"new"))
    assert synced == [("file", False), ("folder", True)]


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_write_atomically_what_is_no_file_is_refused_and_stays(tmp_path, what):
    path = tmp_path / "name"
    (path.mkdir if what == "folder" else lambda: os.mkfifo(path))()
    with pytest.raises(OSError, match=r"cannot write .*name: it is (a|no)"):
        write_atomically(path, lambda handle: handle.write(b"new"))
    assert path.exists()
    assert not path.is_file()


def test_check_output_refuses_an_input_by_any_name(tmp_path):
    source, link = tmp_path / "photo.jpg", tmp_path / "link.csv"
    source.write_bytes(b"photo")
    link.symlink_to(source)
    check_output(tmp_path / "new.csv", [source, tmp_path / "missing.jpg"])
    for path in (source, link, tmp_path / "." / "photo.jpg"):
        with pytest.raises(ValueError, match="is an input"):
            check_output(path, [source])


def test_save_csv_text_that_looks_like_a_formula_is_quoted(tmp_path):
    path = tmp_path / "file.csv"
    save_csv([("=1+2", -0.5), ("@a", 1), ("a=b", -1)], path, header=["name", "n"])
    assert path.read_text().splitlines()[1:] == ["'=1+2,-0.5", "'@a,1", "a=b,-1"]


def test_open_csv_error_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), open_csv(path, header=["a"]) as write_row:
        write_row([1])
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list_names(tmp_path) == ["table.csv"]


def test_open_json_lines_writes_a_value_a_line_as_it_comes(tmp_path):
    path = tmp_path / "values.jsonl"
    with open_json_lines(path) as write_value:
        write_value({"path": os.fsdecode(b"\xff.png"), "score": 0.1})
        write_value({"path": "寿", "score": None})
        assert not path.exists()
    lines = path.read_text().splitlines()
    assert [json.loads(line)["score"] for line in lines] == [0.1, None]
    assert lines[0].startswith('{"path": "\\udcff.png"')
    with pytest.raises(ValueError, match="not JSON"), open_json_lines(path) as write:
        write(float("nan"))
    assert path.read_text().splitlines() == lines
