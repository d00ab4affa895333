"""Files are written whole or not at all."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from files import atomic
from files.atomic import (
    check_free,
    check_output,
    check_outputs,
    check_writable,
    grow_folder,
    open_atomically,
    open_csv,
    open_json_lines,
    remove_leftovers,
    save_csv,
    save_json,
    set_aside,
    write_atomically,
)

NOT_UTF_8 = os.fsdecode(b"\xff.png")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file with old content, alone in its folder."""
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_bytes(b"old")
    return path


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_atomically_syncs_the_content_then_shows_it_then_syncs_the_name(
    old, monkeypatch
):
    seen = []

    def fsync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        seen.append((is_folder, old.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(str(old), lambda handle: handle.write(b"new"))
    assert seen == [(False, b"old"), (True, b"new")]
    assert list_names(old.parent) == ["file"]
    monkeypatch.delattr(os, "O_DIRECTORY")  # as on Windows
    path = old.parent / "a" / "b" / "file"
    write_atomically(path, lambda handle: handle.write(b"new"))
    assert (path.read_bytes(), len(seen)) == (b"new", 3)
    (expected := path.with_name("plain")).touch()  # as the umask says
    assert path.stat().st_mode == expected.stat().st_mode


@pytest.mark.parametrize(("owner", "step"), [(os, "fsync"), (Path, "replace")])
def test_write_atomically_failure_leaves_the_old_file(old, monkeypatch, owner, step):
    with pytest.raises(KeyboardInterrupt), open_atomically(old) as handle:
        handle.write(b"half of the n")
        raise KeyboardInterrupt

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(OSError, match=f"No space left on device: '{old}'"):
        write_atomically(old, lambda handle: None)
    assert old.read_bytes() == b"old"
    assert list_names(old.parent) == ["file"]


def test_open_atomically_of_two_writers_the_last_wins_whole(old):
    with open_atomically(old) as first:
        first.write(b"begun first, ")
        first.flush()
        with open_atomically(old) as second:
            second.write(b"second")
        assert old.read_bytes() == b"second"
        first.write(b"ended last")
    assert old.read_bytes() == b"begun first, ended last"
    assert list_names(old.parent) == ["file"]


@pytest.mark.parametrize("name", ["file", "n" * 250])
def test_remove_leftovers_takes_what_killed_writers_of_this_file_left(tmp_path, name):
    others = {".files.0.tmp", "file.tmp", ".file.txt", name}
    for other in others:
        (tmp_path / other).touch()
    context = open_atomically(tmp_path / name)
    context.__enter__()  # and never left, as if it were killed
    assert len(list_names(tmp_path)) == len(others) + 1
    remove_leftovers(tmp_path / name)
    assert set(list_names(tmp_path)) == others
    remove_leftovers(tmp_path / "missing" / name)
    with pytest.raises(FileNotFoundError):
        context.__exit__(None, None, None)


def test_write_atomically_name_of_something_else_is_refused(tmp_path):
    for name, make in (("a folder", Path.mkdir), ("not a regular file", os.mkfifo)):
        make(path := tmp_path / name)
        for write in (write_atomically, check_output):
            with pytest.raises(OSError, match=f"cannot write {path}: it is {name}"):
                write(path, ())
        assert path.exists()


def test_save_json_any_text_comes_back_and_nan_is_refused(old):
    value = {"név": ["寿", NOT_UTF_8, 1.5, None]}
    save_json(value, old)
    text = old.read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.endswith("}\n")
    assert "寿" in text
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            save_json([number], old)
    assert old.read_text(encoding="utf-8") == text


def test_save_csv_keeps_bytes_and_quotes_formulas(old):
    rows = [["a,b", -0.5], ['say "x"', 2], [NOT_UTF_8, 3], ["=1+2", 4], ["@a", "a=b"]]
    rows += [["-0.5e3", "-1"], ["-1+2", "+"]]
    save_csv(iter(rows), old, header=["name", "n"])
    assert old.read_bytes() == (
        b'name,n\n"a,b",-0.5\n"say ""x""",2\n\xff.png,3\n\'=1+2,4\n\'@a,a=b\n'
        b"-0.5e3,-1\n'-1+2,'+\n"
    )
    with pytest.raises(KeyboardInterrupt), open_csv(old, header=["a"]) as write_row:
        write_row([1])
        raise KeyboardInterrupt
    assert old.read_bytes().startswith(b"name,n")
    assert list_names(old.parent) == ["file"]


def test_open_json_lines_writes_a_value_a_line_as_it_comes(old):
    with open_json_lines(old) as write_value:
        write_value({"path": NOT_UTF_8, "score": 0.1})
        write_value({"path": "寿", "score": None})
        assert old.read_bytes() == b"old"
    text = '{"path": "\\udcff.png", "score": 0.1}\n{"path": "寿", "score": null}\n'
    assert old.read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match="not JSON"), open_json_lines(old) as write:
        write(float("nan"))
    assert old.read_text(encoding="utf-8") == text


def test_check_writable_leaves_nothing_and_refuses_a_file_for_a_folder(old, refused):
    check_writable(old.parent / "a" / "b")
    for folder in (old, old / "sub"):
        with refused(f"cannot write to the folder {folder}: ", OSError):
            check_writable(folder)
    assert list_names(old.parent) == ["file"]


@pytest.mark.parametrize("name", [250 * "x", 84 * "顔"])
def test_check_refuses_names_that_are_too_long(name, old, refused):
    folder = old.parent / "a" / "b"
    check_writable(folder, name[: len(name) // 2])
    check_output(folder / name)
    for check in (
        lambda: check_writable(folder, "x", name),  # with an end it is too long
        lambda: check_writable(old.parent / (2 * name) / "b"),
        lambda: check_output(folder / (2 * name)),
    ):
        with refused(r"(?i)file name too long", OSError):
            check()
    assert not folder.parent.exists()


def test_check_output_refuses_an_input_by_any_name(old):
    link = old.with_name("link")
    link.symlink_to(old)
    check_output(old.with_name("new"), [old, old.with_name("missing")])
    for path in (old, link, old.parent / ".." / "folder" / "file"):
        with pytest.raises(ValueError, match="is an input"):
            check_outputs([old.with_name("new"), path], [old])


def test_check_outputs_refuses_two_names_of_one_file(old, monkeypatch):
    monkeypatch.chdir(old.parent)
    Path("same").symlink_to(".")
    Path("hard").hardlink_to("file")
    Path("loop").symlink_to("loop")
    check_outputs([Path("new.csv"), Path("new.json"), Path("file")], [Path("loop")])
    for path, other in (("new", "./new"), ("new", "same/new"), ("hard", "file")):
        with pytest.raises(ValueError, match="two outputs are to be written to"):
            check_outputs([Path(path), Path("between"), Path(other)])


def test_grow_folder_becomes_the_destination_or_leaves_nothing(tmp_path, monkeypatch):
    destination = tmp_path / "new" / "set"
    replace = Path.replace

    def replace_on_windows(path: Path, target: Path) -> Path:
        if target.is_dir():
            raise PermissionError(13, "Access is denied")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_on_windows)
    destination.mkdir(parents=True)
    with grow_folder(destination) as growing:
        (growing / "a").touch()
        assert list_names(destination) == []
    assert list_names(destination) == ["a"]
    with pytest.raises(OSError), grow_folder(destination) as growing:
        (growing / "b").touch()
    assert list_names(destination.parent) == ["set"]
    assert list_names(destination) == ["a"]


def test_set_aside_takes_the_first_number_that_is_free_for_all(old):
    path, taken = old.with_name("x.pt"), old.with_name("x.1.pt")
    for name in (path, taken):
        name.write_text(name.name)
    kept = set_aside([old, path, old.with_name("missing")])
    assert kept == {old: old.with_name("file.2"), path: old.with_name("x.2.pt")}
    assert taken.read_text() == "x.1.pt"


def test_check_free_refuses_what_grow_folder_cannot_replace(tmp_path, monkeypatch):
    empty, full = tmp_path / "empty", tmp_path / "full"
    for path in (empty, full / "a"):
        path.mkdir(parents=True)
    (tmp_path / "link").symlink_to(empty)
    check_free(empty, "--to")
    check_free(tmp_path / "new", "--to")
    check_free(tmp_path / "link", "--to")
    monkeypatch.chdir(empty)
    for path, state in (
        (full, "not empty"),
        (full / "..", "not empty"),
        (".", "in use"),
    ):
        with pytest.raises(ValueError, match=f"there and {state}; name a new"):
            check_free(Path(path), "--to")


def test_write_atomically_waits_for_a_reader_of_the_old_file_as_on_windows(
    old, monkeypatch
):
    tries, replace = [], Path.replace

    def replace_while_it_is_read(path: Path, target: Path) -> Path:
        tries.append(target)
        if len(tries) < 3:
            raise PermissionError(13, "Access is denied", str(target))
        return replace(path, target)

    monkeypatch.setattr(atomic, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(Path, "replace", replace_while_it_is_read)
    write_atomically(old, lambda handle: handle.write(b"new"))
    assert (old.read_bytes(), len(tries)) == (b"new", 3)
    tries.clear()
    monkeypatch.setattr(atomic, "PAUSES_S", (0.0,))
    with pytest.raises(PermissionError):
        write_atomically(old, lambda handle: handle.write(b"newer"))
    assert (old.read_bytes(), list_names(old.parent)) == (b"new", ["file"])
