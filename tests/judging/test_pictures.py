"""Image files read in batches from a stream of paths."""

import hashlib
import itertools
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from faces_dataset import ResizeToTensor
from judging import pictures
from judging.pictures import Picture, load_pictures, read_picture
from loading import image_files, read_image


def test_read_picture_gives_what_a_dataset_would_and_the_hash(faces_root):
    path = faces_root / "test" / "real" / "00.png"

    picture, sample = read_picture(path, hashed=True)

    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert picture == Picture(path, 24, 24, sha256)
    assert torch.equal(sample, ResizeToTensor()(read_image(path)))


def test_read_picture_from_memory_gives_the_same(faces_root):
    path = faces_root / "test" / "real" / "00.png"

    picture, sample = read_picture(Path("nowhere.png"), data=path.read_bytes())

    assert picture == Picture(Path("nowhere.png"), 24, 24)
    assert torch.equal(sample, read_picture(path)[1])


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "the file is empty"), (b"text", "not an image file that Pillow knows")],
)
def test_read_picture_from_memory_says_what_is_wrong_with_it(data, reason):
    picture, sample = read_picture(Path("a.png"), data=data)

    assert picture.error == f"cannot read the image a.png: {reason}"
    assert sample is None


def test_read_picture_size_is_upright_and_before_scaling(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.new("RGB", (3000, 2000)).save(tmp_path / "a.jpg", exif=exif)

    picture, _ = read_picture(tmp_path / "a.jpg")

    assert (picture.width, picture.height) == (2000, 3000)


def test_read_picture_unreadable_file_has_its_hash_and_the_reason(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"text")

    picture, sample = read_picture(path, hashed=True)

    assert sample is None
    assert picture.sha256 == hashlib.sha256(b"text").hexdigest()
    assert "not an image file" in picture.error


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("https://example.org/a.jpg", "https://example.org/a.jpg is an address: down"),
        ("clip.MP4", "clip.MP4 is a video: save its frames"),
        ("paper.pdf", "paper.pdf is a PDF: take the images out"),
        ("none.png", "cannot read the image none.png: there is no such file"),
    ],
)
def test_read_picture_says_what_to_do(path, advice):
    picture, _ = read_picture(Path(path), hashed=True)
    assert picture.error.startswith(advice)


@pytest.mark.parametrize(
    ("size", "is_warned"),
    [
        ((256, 256), False),
        ((178, 218), False),  # CelebA
        ((1499, 1000), False),
        ((1500, 1000), True),
        ((1000, 1500), True),
        ((1920, 1080), True),
        ((None, None), False),
    ],
)
def test_warning_of_what_is_plainly_no_face_crop(size, is_warned):
    warning = Picture(Path("a.png"), *size).warning
    assert warning == (f"no face crop: {size[0]} x {size[1]}" if is_warned else None)


@pytest.mark.parametrize("workers", [0, 2])
def test_load_pictures_gives_batches_in_order_without_the_unreadable(
    workers, own_faces_root
):
    paths = sorted(own_faces_root.rglob("*.png"))[:7]
    paths[3].write_bytes(b"text")

    batches = list(load_pictures(paths, batch_size=3, workers=workers))

    assert [p.path for read, _ in batches for p in read] == paths
    assert [len(samples) for _, samples in batches] == [3, 2, 1]
    samples = torch.cat([samples for _, samples in batches])
    readable = [read_picture(path)[1] for path in paths if path != paths[3]]
    assert torch.equal(samples, torch.stack(readable))
    assert samples.is_contiguous(memory_format=torch.channels_last)


def test_load_pictures_of_nothing_but_unreadable_files_gives_no_sample(tmp_path):
    ((read, samples),) = load_pictures([tmp_path / "a.png", tmp_path / "b.png"])
    assert len(read) == 2
    assert samples.shape == (0, 3, 256, 256)


def test_load_pictures_reads_while_the_paths_still_come(faces_root):
    paths = itertools.cycle(sorted(faces_root.rglob("*.png")))  # without an end
    read, samples = next(load_pictures(paths, batch_size=4))
    assert len(read) == len(samples) == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_load_pictures_reads_side_by_side(workers, faces_root, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    readers = multiprocessing.Manager().dict() if workers else {}
    read_image_and_size = pictures.read_image_and_size

    def note_reader(path: Path, **options):
        readers[os.getpid(), threading.get_ident()] = True
        time.sleep(0.05)  # time for the others to take the next image
        return read_image_and_size(path, **options)

    monkeypatch.setattr(pictures, "read_image_and_size", note_reader)
    paths = sorted(faces_root.rglob("*.png"))[:8]
    batch_size = 4 if workers else 8
    batches = load_pictures(paths, batch_size=batch_size, workers=workers)

    assert [p.path for read, _ in batches for p in read] == paths
    assert len({process for process, _ in list(readers)}) == (workers or 1)
    assert workers or len(readers) == 3  # the first is read alone, then in two threads
