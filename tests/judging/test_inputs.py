"""Which files are meant by paths, folders and lists."""

import io
import os
from pathlib import Path

import pytest

from judging.inputs import (
    ImageFinder,
    describe_passed_over,
    read_path_list,
    refuse_outputs,
)
from loading.image_files import Listing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ("b.png", "a.JPG", ".hidden.png", "notes.txt", "deeper/c.png")
    for name in (*names, "deeper/deepest/d.png", "another/e.txt", ".cache/f.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "in"


def test_image_finder_replaces_folders_by_their_sorted_images(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    one, failures, others = tmp_path / "one.png", [], []
    hear = {"on_failure": [failures.append], "on_passed_over": [others.append]}
    finder = ImageFinder([one, folder, tmp_path / "empty"], **hear)

    assert list(finder) == [one, folder / "a.JPG", folder / "b.png"]
    assert failures == [f"there is no image in the folder {tmp_path}/empty"]
    names = [".cache", "another", "deeper", ".hidden.png", "notes.txt"]
    assert [path.name for path in others] == names
    assert (finder.num_files, finder.num_folders, finder.num_failures) == (2, 3, 1)


def test_image_finder_passes_on_videos_where_they_are_wanted(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("aa.MP4", ".hidden.mp4"):
        (folder / name).touch()
    paths, failures = [folder, tmp_path / "empty"], []
    without = ImageFinder(paths)
    wanted = ImageFinder(paths, videos=True, on_failure=[failures.append])
    assert [path.name for path in without] == ["a.JPG", "b.png"]
    assert [path.name for path in wanted] == ["a.JPG", "aa.MP4", "b.png"]
    assert (without.num_files, wanted.num_files) == (4, 3)
    assert failures == [f"there is no image or video in the folder {tmp_path}/empty"]


def test_image_finder_recursive_enters_no_hidden_linked_or_excluded_folder(folder):
    finder = ImageFinder([folder], recursive=True)

    found = [str(path.relative_to(folder)) for path in finder]

    assert found == ["a.JPG", "b.png", "deeper/c.png", "deeper/deepest/d.png"]
    assert (finder.num_files, finder.num_folders, finder.num_failures) == (3, 1, 0)
    (folder / "deeper" / "loop").symlink_to(folder)
    excluded = folder / "deeper" / "deepest"
    found = [p.name for p in ImageFinder([folder], recursive=True, excluded=excluded)]
    assert found == ["a.JPG", "b.png", "c.png"]


def test_image_finder_bears_any_depth_and_length(tmp_path, monkeypatch):
    def list_deep(folder: Path) -> Listing:
        return Listing(["a.png"], [], ["d"] * (len(folder.parts) < 1500))

    with monkeypatch.context() as patched:
        patched.setattr("judging.inputs.list_images", list_deep)
        *_, deepest = ImageFinder([tmp_path], recursive=True)
    assert len(deepest.parts) == 1501

    failures, long = [], tmp_path / f"{'x' * 300}.png"
    monkeypatch.chdir(tmp_path)
    for _ in range(20):  # the system takes paths of 4096 bytes
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
    options = {"recursive": True, "on_failure": [failures.append]}
    finder = ImageFinder([long, tmp_path], **options)
    assert list(refuse_outputs(finder, [])) == [long]  # reading it says why
    (failure,) = failures
    assert failure.startswith(f"cannot list {tmp_path}/ddd")
    assert failure.endswith("d: File name too long")


def test_image_finder_takes_no_more_paths_than_are_asked_for(folder):
    taken = []

    def name_paths():
        for path in (folder / "b.png", folder / "a.JPG"):
            taken.append(path)
            yield path

    next(iter(ImageFinder(name_paths())))
    assert taken == [folder / "b.png"]


@pytest.mark.skipif(
    getattr(os, "geteuid", int)() == 0, reason="root and Windows list every folder"
)
def test_image_finder_names_a_folder_that_cannot_be_listed(folder):
    folder.chmod(0)
    failures = []
    assert list(ImageFinder([folder], on_failure=[failures.append])) == []
    folder.chmod(0o700)
    assert failures == [f"cannot list {folder}: Permission denied"]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 0), None),
        ((2, 1), "passed over: 2 files and 1 subfolder (-v names them)"),
        ((0, 2), "passed over: 2 subfolders (-v names them)"),
    ],
)
def test_describe_passed_over(counts, expected):
    assert describe_passed_over(*counts) == expected


@pytest.mark.parametrize(
    ("content", "separator", "expected"),
    [
        (b"", b"\n", []),
        (b"a.png\n\nb c.png", b"\n", ["a.png", "b c.png"]),
        (b"a\nb.png\0c.png\0", b"\0", ["a\nb.png", "c.png"]),
        (b"\xff.png\n", b"\n", [os.fsdecode(b"\xff.png")]),
        (b"a.png\r\nb.png\r\n", b"\n", ["a.png", "b.png"]),
        (b"\xef\xbb\xbfa.png\nb.png", b"\n", ["a.png", "b.png"]),
        ("\ufeff寿.png\r\nb.png".encode("utf-16-le"), b"\n", ["寿.png", "b.png"]),
        ("\ufeff寿.png\nb.png\n".encode("utf-16-be"), b"\n", ["寿.png", "b.png"]),
        ("a.png\nb.png\n".encode("utf-16-le"), b"\n", ["a.png", "b.png"]),
        ("C:\\寿.png\r\n".encode("utf-16-be"), b"\n", ["C:\\寿.png"]),
        (b"\xef\xbb\xbfa\r\0b\0", b"\0", ["\ufeffa\r", "b"]),  # as they stand
    ],
)
def test_read_path_list(content, separator, expected):
    paths = list(read_path_list(io.BytesIO(content), separator=separator))
    assert [str(path) for path in paths] == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\"a b.png\"\n'a b.png'\n", ["a b.png", "a b.png"]),
        ("\ta b.png \n \n", ["a b.png"]),
        ("FOLDER/a%20b.png\n", ["FOLDER/a b.png"]),
        ("a b.png\ra b.png\r", ["a b.png", "a b.png"]),
        (" c\rd'\n'e'\n", [" c\rd'", "'e'"]),  # the first is there
    ],
)
def test_read_path_list_takes_what_other_programs_write(
    content, expected, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("a b.png", " c\rd'"):
        Path(name).touch()
    stream = io.BytesIO(content.replace("FOLDER", tmp_path.as_uri()).encode())
    found = [str(path) for path in read_path_list(stream)]
    assert found == [name.replace("FOLDER", str(tmp_path)) for name in expected]


def test_read_path_list_with_nuls_in_its_lines_names_the_flag():
    with pytest.raises(ValueError, match="holds NULs: give -0"):
        list(read_path_list(io.BytesIO(b"a.png\0b.png\0")))


def test_read_path_list_gives_each_path_when_it_is_there():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        paths = read_path_list(stream)
        os.write(writing, b"a.png\nb.p")
        assert next(paths) == Path("a.png")  # would hang if it waited for the end
        os.write(writing, b"ng\n")
        assert next(paths) == Path("b.png")
        os.close(writing)
        assert list(paths) == []


def test_refuse_outputs_stops_at_an_input_under_any_name(tmp_path):
    face, link = tmp_path / "face.png", tmp_path / "link.png"
    face.touch()
    link.symlink_to(face)
    paths = refuse_outputs([tmp_path / "none.png", link], [face, tmp_path / "new.csv"])

    assert next(paths) == tmp_path / "none.png"
    with pytest.raises(ValueError, match="is an input, not to be written over"):
        next(paths)
