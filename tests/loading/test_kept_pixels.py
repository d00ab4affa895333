"""Pixels that are kept are those that reading gives, whatever befalls their files."""

import errno
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import faces_dataset
from faces_dataset import FacesDataset, ResizeToTensor, join
from loading import PUBLISHED, kept_pixels
from loading.augmentation import Augmentation
from loading.batches import BatchLoader
from utils import keep_pixels

NUM_BYTES = 3 * 256 * 256 + 4  # 48 pages of pixels, and a checksum


def open_keeping(root: Path, folder: Path) -> FacesDataset:
    """Nine pictures, written into a folder when they are read."""
    dataset = FacesDataset(root / "train", ResizeToTensor())
    assert "MB to come" in keep_pixels([dataset], folder)
    return dataset


def assert_right(dataset: FacesDataset) -> None:
    plain = FacesDataset(dataset.pictures, dataset.transform)
    for (image, label), (expected, expected_label) in zip(dataset, plain, strict=True):
        assert torch.equal(image, expected)
        assert image.stride() == expected.stride()
        assert label == expected_label


def list_sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.iterdir()]


@pytest.fixture
def kept(own_faces_root, tmp_path) -> FacesDataset:
    """A dataset whose pixels are all kept in the folder k."""
    dataset = open_keeping(own_faces_root, tmp_path / "k")
    list(dataset)
    return dataset


def test_kept_pixels_are_read_in_place_of_the_pictures(kept, tmp_path, monkeypatch):
    assert_right(kept)
    assert list_sizes(tmp_path / "k") == [NUM_BYTES] * 9
    assert keep_pixels([kept], tmp_path / "k").endswith("k: 0 MB to come")
    monkeypatch.setattr(faces_dataset, "read_image", None)
    again = open_keeping(Path(kept.pictures.root).parent, tmp_path / "k")
    for dataset in (again.drop([1, 6]), join({"train": again})):
        for index in range(len(dataset)):
            other = list(map(again.get_name, range(9))).index(dataset.get_name(index))
            assert torch.equal(dataset[index][0], again[other][0])


def test_kept_pixels_of_a_changed_picture_size_or_decoding_are_others(kept, tmp_path):
    Image.new("RGB", (24, 24), "red").save(kept.get_file(2).name)
    assert_right(kept)
    for full_decoding in (False, True):
        small = replace(PUBLISHED, size=15, full_decoding=full_decoding)
        other = FacesDataset(kept.pictures, ResizeToTensor(small))
        keep_pixels([other], tmp_path / "k")
        list(other)
        assert_right(other)
    sizes = list_sizes(tmp_path / "k")
    assert (sizes.count(NUM_BYTES), sizes.count(4096 + 4)) == (10, 18)


DAMAGES = {
    "empty": lambda content, other: b"",
    "short": lambda content, other: content[:-1],
    "long": lambda content, other: content + b"x",
    "a byte": lambda content, other: b"~" + content[1:],
    "zeros": lambda content, other: content[:4096] + bytes(4096) + content[8192:],
    "another's": lambda content, other: other,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_kept_pixels_that_are_damaged_are_read_and_written_anew(damage, kept, tmp_path):
    before = {path: path.read_bytes() for path in (tmp_path / "k").iterdir()}
    for path, other in zip(before, [*before][::-1], strict=True):
        path.write_bytes(DAMAGES[damage](before[path], before[other]))
    assert_right(kept)
    assert before == {path: path.read_bytes() for path in (tmp_path / "k").iterdir()}


def test_kept_pixels_on_a_full_disk_are_read_and_said_once(
    own_faces_root, tmp_path, monkeypatch, capsys
):
    def fill(path, content):
        with path.open("wb") as file:
            file.write(content[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    dataset = open_keeping(own_faces_root, tmp_path / "k")
    monkeypatch.setattr(Path, "write_bytes", fill)
    assert_right(dataset)
    assert capsys.readouterr().err.count("no more pixels are kept: [Errno 28]") == 1
    assert list_sizes(tmp_path / "k") == []


@pytest.mark.parametrize("name", ["MOST_BYTES", "MOST_OF_FREE"])
def test_kept_pixels_that_do_not_fit_are_not_written(name, kept, tmp_path, monkeypatch):
    for path in list((tmp_path / "k").iterdir())[:2]:
        path.unlink()
    monkeypatch.setattr(kept_pixels, name, 0)
    line = keep_pixels([kept, kept], tmp_path / "k")
    assert "no more pixels are kept: " in line
    assert "beside 1 MB" in line
    assert_right(kept)
    assert len(list_sizes(tmp_path / "k")) == 7


def test_kept_pixels_without_a_folder_or_pictures_name_the_reason(kept, refused):
    file = kept.get_file(0)
    line = keep_pixels([kept], Path(file.name))
    assert line.startswith("note: pixels are not kept: [Errno")
    assert_right(kept)
    Path(file.name).unlink()
    with refused("there is no such file"):
        kept[0]


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning",
    "ignore:This DataLoader will create:UserWarning",
)
def test_kept_pixels_with_workers_and_changes_give_the_same(own_faces_root, tmp_path):
    """Two epochs each: those that write, and those that find what was written."""
    results = []
    options = {"seed": 5, "training": True}
    options["augmentation"] = Augmentation("robust", self_blend=0.5)
    for folder, workers in ((None, 0), ("a", 0), ("b", 2), ("b", 0)):
        dataset = FacesDataset(own_faces_root / "train", ResizeToTensor())
        if folder:
            keep_pixels([dataset], tmp_path / folder)
        loader = BatchLoader(dataset, 2, **options, workers=workers)
        results.append(torch.cat([images for images, _ in (*loader, *loader)]))
    assert all(torch.equal(result, results[0]) for result in results)
    assert 5 <= len(list_sizes(tmp_path / "a")) == len(list_sizes(tmp_path / "b"))


def test_kept_pixels_written_by_several_at_once_are_right(own_faces_root, tmp_path):
    dataset = open_keeping(own_faces_root, tmp_path / "k")
    datasets = [dataset, *(pickle.loads(pickle.dumps(dataset)) for _ in range(2))]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(5):
            list(pool.map(assert_right, datasets))
            for path in list((tmp_path / "k").iterdir())[::2]:
                path.write_bytes(b"")
