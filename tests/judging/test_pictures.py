"""Pictures read for detectors, in batches, from a stream of paths."""

import hashlib
import itertools
import multiprocessing
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from judging import pictures
from judging.pictures import InputSpec, Picture, Reading, load_pictures
from judging.pictures import read_picture as read_views
from loading import PUBLISHED, ImageFile, Preprocessing, Resize, read_image
from loading.face_finding import Face

SPEC = InputSpec(256, False, 1.35)
SMALL = InputSpec(64, True, 1.35)
WHOLE = Reading(faces=False)  # nobody looks for faces


def read_picture(file: ImageFile | Path, reading: Reading = WHOLE):
    """What `read_picture` says of one view of a whole picture."""
    file = file if isinstance(file, ImageFile) else ImageFile(file)
    ((picture, samples),) = read_views(file, [SPEC], reading)
    return picture, None if samples is None else samples[SPEC]


UPRIGHT = ((20, 20), (40, 20), (30, 30), (22, 40), (38, 40))
LYING = ((20, 20), (20, 40), (30, 30), (40, 22), (40, 38))
TURNED = ((40, 40), (20, 40), (30, 30), (38, 20), (22, 20))


@pytest.mark.parametrize("from_memory", [False, True])
def test_read_picture_gives_what_a_dataset_would_and_the_origin(
    from_memory, faces_root
):
    path = faces_root / "test" / "real" / "00.png"
    data = path.read_bytes()
    file = ImageFile("a.png", data) if from_memory else ImageFile(path)

    reading = Reading(faces=False, with_origin=True)
    ((picture, samples),) = read_views(file, [SPEC, SMALL], reading)

    plain = picture._replace(origin=None, examined=None)
    assert plain == Picture(file.name, 24, 24)
    assert picture.origin.sha256 == hashlib.sha256(data).hexdigest()
    assert read_picture(file)[0].origin is None
    image = read_image(path)
    assert np.array_equal(samples[SPEC], Resize()(image))
    small = Preprocessing(PUBLISHED.mean, PUBLISHED.std, 64, full_decoding=True)
    assert np.array_equal(samples[SMALL], Resize(small)(image))


def test_read_picture_one_view_does_not_change_what_another_sees(tmp_path):
    Image.effect_noise((1200, 1100), 60).convert("RGB").save(tmp_path / "a.jpg")
    file = ImageFile(tmp_path / "a.jpg")
    whole = InputSpec(256, True, 1.35)
    ((_, together),) = read_views(file, [SPEC, whole], WHOLE)
    assert np.array_equal(together[SPEC], read_picture(file)[1])
    assert not np.array_equal(together[SPEC], together[whole])


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "the file is empty"), (b"text", "not an image file that Pillow knows")],
)
@pytest.mark.parametrize("from_memory", [False, True])
def test_read_picture_unreadable_has_the_reason(data, reason, from_memory, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    file = ImageFile(path, data) if from_memory else ImageFile(path)

    picture, sample = read_picture(file, Reading(with_origin=True))

    assert sample is None
    assert picture.error == f"cannot read the image {path}: {reason}"
    assert picture.origin.sha256 == hashlib.sha256(data).hexdigest()


def test_read_picture_size_is_upright_and_before_scaling(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.new("RGB", (3000, 2000)).save(tmp_path / "a.jpg", exif=exif)

    picture, _ = read_picture(tmp_path / "a.jpg")

    assert (picture.width, picture.height) == (2000, 3000)


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("https://example.org/a.jpg", "https://example.org/a.jpg is an address: down"),
        ("none.png", "cannot read the image none.png: there is no such file"),
    ],
)
def test_read_picture_says_what_to_do(path, advice):
    picture, _ = read_picture(Path(path), Reading(with_origin=True))
    assert picture.origin is None
    assert picture.error.startswith(advice)


@pytest.mark.parametrize(
    ("face", "beyond", "expected"),
    [
        (Face((0, 0, 50, 64), 0.9, UPRIGHT), 0.1, []),
        (Face((0, 0, 70, 63), 0.9, UPRIGHT), 0, ["small face: 63 pixels high"]),
        (
            Face((0, 0, 50, 64), 0.9, UPRIGHT),
            0.11,
            ["cut face: 11% of its crop is beyond the edge"],
        ),
        (
            Face((0, 0, 9, 9), 0.9, TURNED),
            0,
            ["small face: 9 pixels high", "tilted face: by 180 degrees"],
        ),
        (Face((0, 0, 99, 99), 0.9, LYING), 0, ["tilted face: by 90 degrees"]),
        (Face((0, 0, 99, 99), 0.9, LYING, 3), 0, []),  # turned upright
    ],
)
def test_reasons_of_a_face_that_cannot_be_judged(face, beyond, expected):
    picture = Picture("a.png", 900, 300, face=face, beyond=beyond)
    assert list(picture.reasons) == expected
    higher = picture._replace(least_height=100).reasons
    assert f"small face: {face.height} pixels high" in higher


@pytest.mark.parametrize(
    ("size", "is_refused"),
    [
        ((178, 218), False),  # CelebA
        ((1499, 1000), False),
        ((1500, 1000), True),
        ((1000, 1500), True),
        ((None, None), False),
    ],
)
def test_reasons_of_what_is_plainly_not_a_face_crop(size, is_refused):
    picture = Picture("a.png", *size)
    reason = f"not a face crop: {size[0]} x {size[1]}"
    assert picture.reasons == ((reason,) if is_refused else ())
    assert picture._replace(num_faces=1).reasons == picture.reasons
    looked = picture._replace(num_faces=0).reasons
    assert looked == (("no face was found in it",) if size[0] else ())


def test_read_picture_numbers_its_faces_from_the_left(tmp_path, monkeypatch):
    faces = [Face((left, 0, left + 9, 9), 0.9, ()) for left in (40, 80, 10)]
    image = Image.new("RGB", (100, 40))
    for place, color in ((10, "red"), (40, "lime"), (80, "blue")):
        image.paste(color, (place - 5, 0, place + 15, 40))
    image.save(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "find_faces", lambda image: list(faces))

    read = read_views(ImageFile(tmp_path / "a.png"), [SPEC], Reading(faces=True))

    known = [(p.number, p.num_faces, p.face.box[0], p.width) for p, _ in read]
    assert known == [(1, 3, 10, 100), (2, 3, 40, 100), (3, 3, 80, 100)]
    middles = [samples[SPEC][128, 128].tolist() for _, samples in read]
    assert [middle.index(max(middle)) for middle in middles] == [0, 1, 2]


@pytest.mark.parametrize(
    ("side", "looks", "is_cut"),
    [(100, True, False), (100, False, False), (50, True, True), (200, True, True)],
)
def test_read_picture_leaves_a_crop_to_a_face_as_it_is(
    side, looks, is_cut, tmp_path, monkeypatch
):
    """The face's crop has 101 pixels a side, in the middle of 100, or of others."""
    start = side / 2 - 37.5
    face = Face((start, start - 6, start + 75, start + 69), 0.9, ())
    Image.new("RGB", (side, side)).save(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "find_faces", lambda image: [face])

    reading = Reading(faces=looks)
    ((picture, _),) = read_views(ImageFile(tmp_path / "a.png"), [SPEC], reading)

    assert picture.num_faces == (1 if looks else None)
    assert (picture.face, picture.number) == ((face, 1) if is_cut else (None, None))


@pytest.mark.parametrize("is_installed", [False, True])
def test_reading_looks_for_faces_where_it_can_or_is_told(is_installed, monkeypatch):
    monkeypatch.setattr(pictures, "can_find_faces", lambda: is_installed)
    assert Reading().looks == is_installed
    assert [Reading(faces=told).looks for told in (False, True)] == [False, True]


@pytest.mark.parametrize("workers", [0, 2])
def test_load_pictures_gives_batches_in_order_without_the_unreadable(
    workers, own_faces_root
):
    paths = sorted(own_faces_root.rglob("*.png"))[:7]
    paths[3].write_bytes(b"text")

    options = {"batch_size": 3, "workers": workers, "reading": WHOLE}
    batches = list(load_pictures(paths, [SPEC], **options))

    assert [p.name for read, _ in batches for p in read] == list(map(str, paths))
    assert [len(samples[SPEC]) for _, samples in batches] == [3, 2, 1]
    samples = np.concatenate([samples[SPEC] for _, samples in batches])
    readable = [read_picture(path)[1] for path in paths if path != paths[3]]
    assert np.array_equal(samples, np.stack(readable))


def exhaust(*_: object) -> None:
    raise MemoryError


def test_load_pictures_too_little_memory_is_a_failure_of_pictures(
    faces_root, monkeypatch
):
    paths = sorted(faces_root.rglob("*.png"))[:4]
    resize, failing = Resize.resize, iter([False, True, False, False])

    def resize_most(self, image):
        return exhaust() if next(failing) else resize(self, image)

    monkeypatch.setattr(Resize, "resize", resize_most)
    ((read, samples),) = load_pictures(paths, [SPEC], reading=WHOLE)
    reason = f"cannot read the image {paths[1]}: there is not enough memory for it"
    assert [picture.error for picture in read] == [None, reason, None, None]
    assert len(samples[SPEC]) == 3

    monkeypatch.undo()
    monkeypatch.setattr(pictures.np, "stack", exhaust)
    first, second = load_pictures(paths, [SPEC], batch_size=2, reading=WHOLE)
    for path, picture in zip(paths, first[0] + second[0], strict=True):
        assert str(path) in picture.error
        assert "not enough memory" in picture.error


def test_load_pictures_of_many_faces_gives_no_larger_batches(faces_root, monkeypatch):
    faces = [Face((n, 0, 9 + n, 9), 0.9, ()) for n in range(5)]
    monkeypatch.setattr(pictures, "find_faces", lambda image: list(faces))
    paths = sorted(faces_root.rglob("*.png"))[:3]
    reading = Reading(faces=True)
    batches = list(load_pictures(paths, [SPEC], batch_size=2, reading=reading))
    assert [len(samples[SPEC]) for _, samples in batches] == [2, 2, 2, 2, 2, 2, 2, 1]
    read = [(p.name, p.face) for known, _ in batches for p in known]
    assert read == [(str(path), face) for path in paths for face in faces]


def test_load_pictures_reads_while_the_paths_still_come(faces_root):
    paths = itertools.cycle(sorted(faces_root.rglob("*.png")))  # without an end
    read, samples = next(load_pictures(paths, [SPEC], batch_size=4, reading=WHOLE))
    assert len(read) == len(samples[SPEC]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_load_pictures_reads_side_by_side(
    workers, faces_root, monkeypatch, two_threads
):
    readers = multiprocessing.Manager().dict() if workers else {}
    read_image_and_size = pictures.read_image_and_size

    def note_reader(file: ImageFile, **options):
        readers[os.getpid(), threading.get_ident()] = True
        time.sleep(0.05)  # time for the others to take the next image
        return read_image_and_size(file, **options)

    monkeypatch.setattr(pictures, "read_image_and_size", note_reader)
    paths = sorted(faces_root.rglob("*.png"))[:8]
    batch_size = 4 if workers else 8
    options = {"batch_size": batch_size, "workers": workers, "reading": WHOLE}
    batches = load_pictures(paths, [SPEC], **options)

    assert [p.name for read, _ in batches for p in read] == list(map(str, paths))
    assert len({process for process, _ in list(readers)}) == (workers or 1)
    assert workers or len(readers) == 3  # the first is read alone, then in two threads
