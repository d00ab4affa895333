"""Which files are images, how each kind becomes upright RGB, and what is refused."""

import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter, methodcaller
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from faces_dataset import FacesDataset
from loading import image_files
from loading.image_files import (
    MOST_SCANS,
    BadImage,
    ImageFile,
    check_images,
    describe_bad_images,
    list_images,
    map_in_threads,
    read_image,
    use_image,
)

ORANGE = (200, 100, 50)


def test_list_images_tells_images_from_other_files_and_folders(tmp_path):
    names = ["b.PNG", "a.jpeg", "10.webp", "9.jpg", "寿.bmp", os.fsdecode(b"\xff.gif")]
    names += ["a.heic", "b.HIF", "c.avif", "d.jxl", "e.mpo"]  # read or not
    others = [".hidden.png", "notes.txt", "jpg", "Thumbs.db", "a.png.part", "s.pdf"]
    for name in names + others:
        (tmp_path / name).touch()
    for name in ("album.jpg", "more"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("more")
    (tmp_path / "loop").symlink_to("loop")
    folders = ["album.jpg", "link", "more"]
    assert list_images(tmp_path) == (sorted(names), sorted([*others, "loop"]), folders)


def make_grey(mode: str, dtype: str, value: float) -> Image.Image:
    image = Image.fromarray(np.full((4, 6), value, dtype))
    assert image.mode == mode
    return image


def make_palette(**info: int) -> Image.Image:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([0, 0, 0, *ORANGE])
    image.info |= info
    return image


IMAGES = {  # name of the file: the image, what to expect of its pixels
    "grey.png": (Image.new("L", (6, 4), 77), (77, 77, 77)),
    "grey.jpg": (Image.new("L", (6, 4), 77), (77, 77, 77)),
    "clear_grey.png": (Image.new("LA", (6, 4), (77, 0)), (255, 255, 255)),
    "half_grey.png": (Image.new("LA", (6, 4), (0, 128)), (127, 127, 127)),
    "palette.png": (make_palette(), ORANGE),
    "clear_palette.png": (make_palette(transparency=1), (255, 255, 255)),
    "rgb.png": (Image.new("RGB", (6, 4), ORANGE), ORANGE),
    "rgb.bmp": (Image.new("RGB", (6, 4), ORANGE), ORANGE),
    "rgba.png": (Image.new("RGBA", (6, 4), (*ORANGE, 255)), ORANGE),
    "clear_rgba.png": (Image.new("RGBA", (6, 4), (*ORANGE, 0)), (255, 255, 255)),
    "deep_grey.png": (make_grey("I;16", "uint16", 25700), (100, 100, 100)),
    "deep_grey.tiff": (make_grey("I;16", "uint16", 25700), (100, 100, 100)),
    "int8_in_int32.tiff": (make_grey("I", "int32", 100), (100, 100, 100)),
    "int16_in_int32.tiff": (make_grey("I", "int32", 25700), (100, 100, 100)),
    "negative_int32.tiff": (make_grey("I", "int32", -5), (0, 0, 0)),
    "unit_float.tiff": (make_grey("F", "float32", 0.4), (102, 102, 102)),
    "byte_float.tiff": (make_grey("F", "float32", 102.2), (102, 102, 102)),
    "nan_float.tiff": (make_grey("F", "float32", np.nan), (0, 0, 0)),
    "cmyk.tiff": (Image.new("CMYK", (6, 4), (0, 255, 255, 0)), (255, 0, 0)),
    "cmyk.jpg": (Image.new("CMYK", (6, 4), (0, 255, 255, 0)), (255, 0, 0)),
    "one_bit.png": (Image.new("1", (6, 4), 1), (255, 255, 255)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_read_image_every_mode_becomes_rgb(tmp_path, name):
    image, expected = IMAGES[name]
    image.save(tmp_path / name)
    result = read_image(tmp_path / name)
    assert (result.mode, result.size) == ("RGB", (6, 4))
    pixels = np.asarray(result).astype(int)
    tolerance = 3 if name.endswith(".jpg") else 0
    assert abs(pixels - expected).max() <= tolerance


@pytest.mark.parametrize("extension", ["gif", "webp", "png", "tiff"])
def test_read_image_animation_gives_the_first_frame(tmp_path, extension):
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "blue", "lime")]
    path = tmp_path / f"film.{extension}"
    options = {"lossless": True} if extension == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert read_image(path).getpixel((8, 8)) == (255, 0, 0)


CORNERS = ((0, 0), (0, -1), (-1, -1), (-1, 0))  # to which the stored top left goes


@pytest.mark.parametrize(("orientation", "corner"), [*enumerate(2 * CORNERS, start=1)])
def test_read_image_exif_orientation_is_applied(tmp_path, orientation, corner):
    image = Image.new("RGB", (32, 16), "black")
    image.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    result = np.asarray(read_image(tmp_path / "turned.jpg"))
    assert result.shape == ((16, 32, 3) if orientation <= 4 else (32, 16, 3))
    assert max(CORNERS, key=lambda place: result[place].mean()) == corner


def write_noise(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)


def cut_in_half(path: Path) -> None:
    write_noise(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write_tiff(tags: dict[int, object], path: Path) -> None:
    Image.new("RGB", (6, 4)).save(path, "TIFF", tiffinfo=tags)


def write_cr2(path: Path) -> None:
    """A TIFF whose directory has gone to its end, to make room for Canon's mark."""
    write_tiff({}, path)
    data = path.read_bytes()
    head = b"II*\0" + len(data).to_bytes(4, "little") + b"CR\2\0"
    path.write_bytes(head + data[12:] + data[8:])


BAD_FILES = {
    "cut.jpg": (cut_in_half, "the file is cut off; replace or remove it"),
    "cut.png": (cut_in_half, "cut off|broken"),
    "empty.jpg": (lambda path: path.touch(), "the file is empty"),
    "text.jpg": (lambda path: path.write_text("no image"), "not an image"),
    "folder.jpg": (lambda path: path.mkdir(), "it is a folder"),
    "link.jpg": (lambda path: path.symlink_to("nowhere"), "a broken link"),
    "none.jpg": (lambda path: None, "there is no such file$"),
    "*.jpg": (lambda path: None, "no such file; the shell expands a pattern only"),
    f"{'x' * 300}.jpg": (lambda path: None, "its name is too long for the system"),
    "raw.dng": (partial(write_tiff, {50706: b"\1\4\0\0"}), "it is a camera's raw file"),
    "raw.cr2": (write_cr2, "it is a camera's raw file"),
    "raw.nef": (partial(write_tiff, {254: 1, 330: 8}), "it is a camera's raw file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_read_image_bad_file_is_refused_by_name(tmp_path, name, refused):
    make, reason = BAD_FILES[name]
    make(tmp_path / name)
    with refused(reason) as error:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize(
    ("place", "limit"),
    [
        ((Image, "MAX_IMAGE_PIXELS"), 1000),  # the error's bound
        ((Image, "MAX_IMAGE_PIXELS"), 3000),  # the warning's
        ((image_files, "MOST_SIDE"), 63),
    ],
)
def test_read_image_decompression_bomb_is_refused(
    tmp_path, monkeypatch, refused, place, limit
):
    Image.new("RGB", (64, 64)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(*place, limit)
    with refused("bomb.png: it has too many pixels"):
        read_image(tmp_path / "bomb.png")


def make_progressive_jpeg(num_more_scans: int, size: int = 512) -> bytes:
    """A JPEG whose last scan, a few bytes, is there so many times more."""
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), ORANGE).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + num_more_scans * last_scan + data[-2:]


@pytest.mark.parametrize("use", [methodcaller("load"), attrgetter("size")])
def test_use_image_jpeg_of_many_scans_is_refused(tmp_path, monkeypatch, use, refused):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 512 * 512)
    path = tmp_path / "bomb.jpg"
    path.write_bytes(make_progressive_jpeg(MOST_SCANS - 10))
    use_image(path, use)
    path.write_bytes(make_progressive_jpeg(MOST_SCANS - 9))
    with refused("512 x 512 pixels in 21 scans"):
        use_image(path, use)


def test_read_image_video_behind_a_jpeg_counts_no_scans(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 512 * 512)
    path = tmp_path / "motion.jpg"
    path.write_bytes(make_progressive_jpeg(0) + b"\xff\xda\0\2" * 50_000)
    assert read_image(path).size == (512, 512)


def test_read_image_large_images_are_read_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "LARGE", 10)
    Image.new("RGB", (6, 4)).save(tmp_path / "large.png")
    alive, most = 0, 0

    def to_rgb(image: Image.Image) -> Image.Image:
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        time.sleep(0.02)
        alive -= 1
        return image

    monkeypatch.setattr(image_files, "to_rgb", to_rgb)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_image, [tmp_path / "large.png"] * 8))
    assert most == 1


def test_read_image_unreadable_permissions_are_named(tmp_path, monkeypatch):
    write_noise(tmp_path / "a.png")

    def refuse(path, *args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(ValueError, match="permission denied; replace or remove"):
        read_image(tmp_path / "a.png")


@pytest.fixture
def datasets(own_faces_root: Path) -> dict[str, FacesDataset]:
    """Two splits; in training an image is empty and another cut behind its header."""
    (own_faces_root / "train/real/01.png").write_bytes(b"")
    cut = own_faces_root / "train/fake/02.png"
    cut.write_bytes(cut.read_bytes()[:45])
    return {split: FacesDataset(own_faces_root / split) for split in ("train", "val")}


@pytest.mark.parametrize(
    ("check", "expected"),
    [("none", []), ("header", [1]), ("auto", [1]), ("full", [1, 7])],
)
def test_check_images_finds_what_the_check_looks_for(datasets, check, expected):
    found = check_images(datasets, check)
    assert [image.index for image in found.get("train", [])] == expected
    assert "val" not in found
    for index, name, reason in found.get("train", []):
        assert name == datasets["train"].get_file(index).name
        assert name in reason


def test_check_images_auto_passes_over_large_collections(datasets, monkeypatch):
    monkeypatch.setattr(image_files, "MOST_FOR_AUTO", 13)
    assert check_images(datasets, "auto") == {}


def test_describe_bad_images_counts_all_and_names_the_first(datasets):
    assert describe_bad_images(check_images(datasets)) == (
        "1 of the images cannot be read: "
        f"{datasets['train'].get_file(1).name}: the file is empty"
    )
    many = [BadImage(n, f"{n}.png", f"reason {n}") for n in range(17)]
    line = describe_bad_images({"train": many[:9], "val": many[9:]})
    assert line.startswith("17 of the images cannot be read: reason 0; reason 1;")
    assert line.endswith("reason 9; and 7 more")


@pytest.mark.parametrize(("slow", "num_threads"), [(60.0, 2), (-1.0, 1)])
def test_map_in_threads_of_quick_items_or_in_a_worker_stays_in_this_thread(
    slow, num_threads, monkeypatch
):
    monkeypatch.setattr(image_files, "SLOW", slow)
    monkeypatch.setattr(torch, "get_num_threads", lambda: num_threads)
    found = map_in_threads(lambda n: (n, threading.get_ident()), range(9))
    assert found == [(n, threading.get_ident()) for n in range(9)]
    assert map_in_threads(abs, []) == []


@pytest.mark.usefixtures("two_threads")
def test_map_in_threads_leaves_this_thread_after_the_first_slow_item():
    first, *others = map_in_threads(lambda _: threading.get_ident(), range(9))
    assert first == threading.get_ident()
    assert first not in others


def test_map_in_threads_uses_at_most_four_and_no_more_than_torch(monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    pool = Mock(wraps=ThreadPoolExecutor)
    monkeypatch.setattr(image_files, "ThreadPoolExecutor", pool)
    for torch_threads, expected in ((3, 3), (64, 4)):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=torch_threads: n)
        assert map_in_threads(abs, range(9)) == list(range(9))
        pool.assert_called_with(expected)


@pytest.mark.usefixtures("two_threads")
def test_map_in_threads_calls_two_at_once():
    both = threading.Barrier(2)

    def meet(number: int) -> int:
        return number if number == 0 else both.wait(timeout=20) + 1

    assert sorted(map_in_threads(meet, range(3))) == [0, 1, 2]


@pytest.mark.usefixtures("two_threads")
def test_map_in_threads_raises_the_first_items_error():
    later_failed = threading.Event()

    def fail(number: int) -> int:
        if number == 1:
            later_failed.wait(timeout=20)
        if number == 2:
            later_failed.set()
        if number:
            raise ValueError(f"item {number}")
        return number

    with pytest.raises(ValueError, match="item 1"):
        map_in_threads(fail, range(4))


def test_readers_take_a_path_as_text(faces_root):
    folder = faces_root / "val" / "real"
    names = list_images(str(folder)).images
    assert read_image(str(folder / names[0])).mode == "RGB"
    assert read_image(ImageFile(folder / names[0])).mode == "RGB"


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((2048, 1536), (1024, 768)),
        ((2100, 1030), (1050, 515)),
        ((4096, 4096), (512, 512)),
        ((1000, 1000), (1000, 1000)),  # halved it would be too small
    ],
)
def test_read_image_large_jpeg_is_scaled_while_it_is_decoded(tmp_path, size, decoded):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", size).save(path)
    assert read_image(path).size == size
    assert read_image(path, at_least=512).size == decoded


def test_read_image_scaled_decoding_hardly_changes_what_a_model_sees(tmp_path):
    rng, size = np.random.default_rng(0), (2400, 1800)
    shapes = Image.fromarray(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8))
    pixels = np.asarray(shapes.resize(size, Image.Resampling.BICUBIC), dtype=float)
    pixels += rng.normal(0, 8, pixels.shape)  # detail down to the pixels
    path = tmp_path / "photo.jpg"
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)

    whole, scaled = (
        np.asarray(read_image(path, at_least=at_least).resize((256, 256)), dtype=float)
        for at_least in (None, 512)
    )
    difference = np.abs(whole - scaled)
    assert 0 < difference.mean() < 0.5
    assert difference.max() <= 4
