"""Which files are in a split, in which order, and what a sample is."""

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import faces_dataset
from faces_dataset import (
    FacesDataset,
    ResizeToTensor,
    compute_fingerprint,
    count_classes,
    describe_split,
    join,
    list_names,
)
from files.classes import FAKE, REAL
from loading import PUBLISHED, ImageFile, read_image
from loading.sources.pictures import list_folder

ORANGE = (200, 100, 50)


@pytest.mark.parametrize("split", ["none", "train/real/00.png"])
def test_faces_dataset_missing_folder_is_named(faces_root, split, refused):
    with refused(f"no folder {faces_root / split / 'real'}; ", FileNotFoundError):
        FacesDataset(faces_root / split)
    with refused(f"make_table.py .*{Path.cwd().name} --to", FileNotFoundError):
        FacesDataset(".")


LAYOUTS = {  # files of a dataset, and what is said of its train/fake
    "train/real/a.png train/Fake/a.png": "train holds 2 folders (Fake, real), and a da",
    "Train/fake/a.png valid/b.png notes.txt": (
        "holds 2 folders (Train, valid) and 1 file (notes.txt), and a dataset"
    ),
    "train/fake/000/a.png train/fake/001/a.png": "holds 2 folders (000, 001); put at l",
    "train/fake/a.txt train/fake/b": "fake, which holds 2 files (a.txt, b); put",
    "train/fake/.keep train/fake/7/a.png": "holds 1 folder (7) and 1 file (.keep); put",
    " ".join(f"{n}/a.png" for n in range(7)): "7 folders (0, 1, 2, 3, 4, ...), and",
}


@pytest.mark.parametrize("files", LAYOUTS)
def test_faces_dataset_says_what_is_there_in_place_of_a_class(files, tmp_path, refused):
    for name in ("train/real/a.png", *files.split()):
        if name != "train/real/a.png" or "train/" in files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
    with refused(str(tmp_path / "train"), (ValueError, FileNotFoundError)) as error:
        FacesDataset(tmp_path / "train")
    assert LAYOUTS[files] in str(error.value)


def test_faces_dataset_too_little_memory_is_a_failure_of_that_image(
    faces_root, monkeypatch, refused
):
    def exhaust(self, image):
        raise MemoryError

    monkeypatch.setattr(ResizeToTensor, "resize", exhaust)
    dataset = FacesDataset(faces_root / "val", ResizeToTensor())
    with refused(f"{dataset.get_name(1)}: there is not enough memory for it"):
        dataset[1]


def test_faces_dataset_real_comes_first_and_is_sorted(own_faces_root):
    (own_faces_root / "train" / "fake" / ".DS_Store").touch()
    (own_faces_root / "train" / "real" / "notes.txt").touch()
    dataset = FacesDataset(str(own_faces_root / "train"))
    assert len(dataset) == 9
    assert dataset.real_image_names == [f"{n:02}.png" for n in range(5)]
    assert dataset.fake_image_names == [f"{n:02}.png" for n in range(4)]
    assert [label for _, label in dataset] == [REAL] * 5 + [FAKE] * 4
    np.testing.assert_array_equal(dataset.get_labels(), [0] * 5 + [1] * 4)
    assert dataset.pictures.num_skipped == 2
    assert dataset.get_name(5) == "train/fake/00.png"


def test_faces_dataset_sample_is_the_files_image_or_what_the_transform_makes_of_it(
    faces_root,
):
    root = faces_root / "val"
    dataset = FacesDataset(root)
    for index in range(len(dataset)):
        path = Path(dataset.get_file(index).name)
        with Image.open(path) as image:
            assert dataset[index][0] == image.convert("RGB")
            assert dataset[index][1] == (path.parent.name == "fake")
    assert FacesDataset(root, lambda image: image.size)[4] == ((24, 24), FAKE)
    assert repr(dataset) == f"FacesDataset('{root}': 3 real, 2 fake)"


def test_faces_dataset_index_counts_from_either_end(faces_root):
    dataset = FacesDataset(faces_root / "val")
    for index in (-1, -2, -5):
        assert dataset[index] == dataset[5 + index]
        assert dataset.get_name(index) == dataset.get_name(5 + index)
    for index in (-6, 5):
        with pytest.raises(IndexError, match=rf"{index} is not in -5 ... 4"):
            dataset[index]


def test_faces_dataset_names_of_any_bytes_and_length(own_faces_root):
    folder = own_faces_root / "val" / "fake"
    names = ["寿司.png", os.fsdecode(b"\xff\xfe.png"), "z" * 200 + ".png"]
    for name in names:
        (folder / name).touch()
    dataset = FacesDataset(own_faces_root / "val")
    assert dataset.fake_image_names == sorted([*names, "00.png", "01.png"])
    for index, name in enumerate(dataset.fake_image_names, start=3):
        assert dataset.get_file(index).name == str(folder / name)


def test_drop_gives_a_copy_without_the_images(faces_root):
    dataset = FacesDataset(faces_root / "train", ResizeToTensor(), limit=3)
    rest = dataset.drop([0, 4])
    assert rest.real_image_names == ["01.png", "02.png"]
    assert rest.fake_image_names == ["00.png", "02.png"]
    assert rest.get_labels().tolist() == [REAL, REAL, FAKE, FAKE]
    assert rest.transform is dataset.transform
    assert len(dataset) == 6
    assert len(dataset.drop([])) == 6


@pytest.mark.parametrize(("indices", "name"), [([0, 1, 2], "real"), ([3, 4], "fake")])
def test_drop_all_of_a_class_is_refused(faces_root, indices, name, refused):
    with refused(f"no readable images in {faces_root / 'val' / name}, which"):
        FacesDataset(faces_root / "val").drop(indices)


def test_resize_to_tensor_same_size_keeps_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    tensor = ResizeToTensor()(Image.fromarray(pixels))
    assert tensor.dtype == torch.uint8
    np.testing.assert_array_equal(tensor.numpy(), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("side", [256, 224, 299])
def test_resize_to_tensor_flat_colour_stays(side):
    to_tensor = ResizeToTensor(replace(PUBLISHED, size=side))
    tensor = to_tensor(Image.new("RGB", (3, 1000), ORANGE))
    assert tensor.shape == (3, side, side)
    assert to_tensor.at_least == 2 * side
    for channel, value in zip(tensor, ORANGE, strict=True):
        assert (channel == value).all()


def test_resize_to_tensor_fine_stripes_average_out():
    stripes = np.zeros((16, 2048, 3), np.uint8)
    stripes[:, ::2] = 255  # without antialiasing they stay black or white
    tensor = ResizeToTensor()(Image.fromarray(stripes))
    assert abs(tensor.int() - 127).max() <= 12


@pytest.mark.parametrize("transform", [ResizeToTensor(), lambda image: image.size])
def test_faces_dataset_getitems_are_the_items(transform, faces_root, two_threads):
    dataset = FacesDataset(faces_root / "train", transform)
    indices = [7, 0, 3, 8]
    samples = dataset.__getitems__(indices)
    for (sample, label), index in zip(samples, indices, strict=True):
        expected, true_label = dataset[index]
        assert label == true_label
        assert torch.equal(torch.as_tensor(sample), torch.as_tensor(expected))


def test_faces_dataset_reads_in_threads_where_the_transform_is_the_suites_own(
    faces_root, monkeypatch, two_threads
):
    used = set()

    def note_thread(file: ImageFile, **options: int) -> Image.Image:
        used.add(threading.get_ident())
        return read_image(file, **options)

    monkeypatch.setattr(faces_dataset, "read_image", note_thread)
    dataset = FacesDataset(faces_root / "train", ResizeToTensor())
    images, labels = next(iter(DataLoader(dataset, batch_size=9)))  # as a loader asks
    assert len(used) > 1
    assert images.shape == (9, 3, 256, 256)
    assert labels.tolist() == [dataset[i][1] for i in range(9)]
    dataset = FacesDataset(faces_root / "train", lambda _: threading.get_ident())
    assert {i for i, _ in dataset.__getitems__(range(9))} == {threading.get_ident()}


def test_compute_fingerprint_tells_other_file_names_apart(own_faces_root):
    root = own_faces_root / "val"

    def compute() -> str:
        return compute_fingerprint({"val": FacesDataset(root)})

    before = compute()
    assert compute() == before
    assert compute_fingerprint({"test": FacesDataset(root)}) != before
    dropped = compute_fingerprint({"val": FacesDataset(root).drop([2])})
    (root / "real/02.png").rename(root / "real/03.png")
    assert compute() not in (before, dropped)
    (root / "real/03.png").unlink()
    assert compute() == dropped


def test_describe_split_counts_the_classes_and_what_was_skipped(own_faces_root):
    root = own_faces_root / "val"
    assert count_classes(FacesDataset(root)) == {"real": 3, "fake": 2}
    line = "val: 5 images, 3 real and 2 fake (40.0 % fake)"
    assert describe_split("val", FacesDataset(root)) == line
    (root / "fake" / "notes.txt").touch()
    skipped = f"{line}; 1 other files or folders passed over"
    assert describe_split("val", FacesDataset(root)) == skipped
    for name in ("manipulated", ".cache", "Fake2"):
        (root / name).mkdir()
    line = describe_split("val", FacesDataset(root))
    assert line.endswith("; folders that are not used: Fake2, manipulated")


def test_list_folder_of_other_names_reads_from_them(tmp_path):
    for name in ("genuine", "forged"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    pictures = list_folder(tmp_path, ("genuine", "forged"))
    names = [pictures.get_file(index).name for index in range(2)]
    assert names == [str(tmp_path / name / "1.png") for name in ("genuine", "forged")]
    assert pictures.describe_rest() == ""
    twice = pictures.call_real_fake()
    assert [twice.get_file(index).name for index in range(2)] == names[:1] * 2


def test_faces_dataset_real_only_takes_the_real_images_twice(own_faces_root):
    folder = own_faces_root / "train"
    shutil.rmtree(folder / "fake")
    dataset = FacesDataset(folder, real_only=True)
    assert dataset.get_labels().tolist() == [0] * 5 + [1] * 5
    assert dataset.get_name(7) == dataset.get_name(2)
    assert dataset[7][0].tobytes() == dataset[2][0].tobytes()
    assert dataset[7][1] == 1


@pytest.mark.parametrize(("full_decoding", "size"), [(False, 512), (True, 1024)])
def test_faces_dataset_lets_large_photographs_be_decoded_small(
    own_faces_root, monkeypatch, full_decoding, size
):
    sizes = []
    read = faces_dataset.read_image

    def watch(file: ImageFile, **options: int) -> Image.Image:
        image = read(file, **options)
        sizes.append(image.size)
        return image

    monkeypatch.setattr(faces_dataset, "read_image", watch)
    photo = Image.effect_noise((1024, 1024), 50)
    photo.save(own_faces_root / "train" / "real" / "0.jpg")
    transform = ResizeToTensor(replace(PUBLISHED, full_decoding=full_decoding))
    sample, _ = FacesDataset(own_faces_root / "train", transform)[0]
    assert sizes == [(size, size)]
    assert sample.shape == (3, 256, 256)


def test_get_mask_is_there_for_fakes_whose_planted_pixels_are_known(own_faces_root):
    dataset = FacesDataset(own_faces_root / "val")
    folder = own_faces_root / "masks" / "val"
    folder.mkdir(parents=True)
    for name in ("00", "01", "02"):
        Image.new("L", (2, 2), 255).save(folder / f"{name}.png")
    masks = [dataset.get_mask(index) for index in range(len(dataset))]
    assert masks[:3] == [None] * 3
    paths = [str(folder / f"{name}.png") for name in ("00", "01")]
    assert [mask.name for mask in masks[3:]] == paths
    assert masks[3].read() == (folder / "00.png").read_bytes()
    (folder / "01.png").unlink()
    assert dataset.get_mask(4) is None


@pytest.mark.parametrize(
    ("table", "margin"),
    [
        (None, None),
        ("crop,source\nval/real/00.png,b.jpg\n", None),
        ("crop,margin\nval/real/00.png,1.5\nval/fake/00.png,1.5\n", 1.5),
        ("path,margin\nval/real/00.png,1.5\nval/fake/00.png,1.3\n", None),
        ("path,margin\nval/real/00.png,inf\n", None),
        ("", None),
    ],
)
def test_crop_margin_is_that_of_the_extraction(table, margin, own_faces_root):
    if table is not None:
        (own_faces_root / "faces.csv").write_text(table)
    assert FacesDataset(own_faces_root / "val").crop_margin == margin


@pytest.mark.parametrize("real_only", [False, True])
def test_join_holds_the_images_of_both_splits_real_ones_first(faces_root, real_only):
    options = {"limit": 3, "real_only": real_only}
    named = {
        split: FacesDataset(faces_root / split, np.asarray, **options)
        for split in ("val", "train")
    }
    whole, parts = join(named), list(named.values())
    labels = whole.get_labels().tolist()
    assert labels == sorted(label for part in parts for label in part.get_labels())
    samples = {
        (part.get_name(i), part.get_label(i)): part[i][0].tobytes()
        for part in parts
        for i in range(len(part))
    }
    assert samples == {
        (name, labels[i]): whole[i][0].tobytes()
        for i, name in enumerate(list_names(whole))
    }
    rest = whole.drop([0, 5])
    assert rest[0][0].tobytes() == whole[1][0].tobytes()
    assert "not used" not in describe_split("train", rest)
    fingerprints = [compute_fingerprint({"train": d}) for d in (parts[1], whole, rest)]
    assert len(set(fingerprints)) == 3
