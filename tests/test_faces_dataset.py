"""Which files are in a split, and how every kind of image becomes upright RGB."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import faces_dataset
from faces_dataset import FacesDataset, ResizeToTensor
from files.layout import FAKE, REAL
from loading import image_files
from loading.image_files import read_image

ORANGE = (200, 100, 50)


def make_grey(mode: str, dtype: str, value: float) -> Image.Image:
    image = Image.fromarray(np.full((4, 6), value, dtype))
    assert image.mode == mode
    return image


def make_palette(*, transparent: bool) -> Image.Image:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([0, 0, 0, *ORANGE])
    if transparent:
        image.info["transparency"] = 1
    return image


IMAGES = {  # name of the file: the image, what to expect of its pixels
    "grey.png": (Image.new("L", (6, 4), 77), (77, 77, 77)),
    "grey.jpg": (Image.new("L", (6, 4), 77), (77, 77, 77)),
    "clear_grey.png": (Image.new("LA", (6, 4), (77, 0)), (255, 255, 255)),
    "half_grey.png": (Image.new("LA", (6, 4), (0, 128)), (127, 127, 127)),
    "palette.png": (make_palette(transparent=False), ORANGE),
    "palette.bmp": (make_palette(transparent=False), ORANGE),
    "palette.gif": (make_palette(transparent=False), ORANGE),
    "clear_palette.png": (make_palette(transparent=True), (255, 255, 255)),
    "rgb.png": (Image.new("RGB", (6, 4), ORANGE), ORANGE),
    "rgb.bmp": (Image.new("RGB", (6, 4), ORANGE), ORANGE),
    "rgb.tiff": (Image.new("RGB", (6, 4), ORANGE), ORANGE),
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


def test_read_image_deep_grey_ramp_keeps_its_contrast(tmp_path):
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    pixels = np.asarray(read_image(tmp_path / "ramp.png"))
    np.testing.assert_array_equal(pixels[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize("extension", ["gif", "webp", "png", "tiff"])
def test_read_image_animation_gives_the_first_frame(tmp_path, extension):
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "blue", "lime")]
    path = tmp_path / f"film.{extension}"
    options = {"lossless": True} if extension == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert read_image(path).getpixel((8, 8)) == (255, 0, 0)


ROTATIONS = {  # EXIF orientation: where the stored image's top left corner belongs
    1: (0, 0),
    2: (0, -1),
    3: (-1, -1),
    4: (-1, 0),
    5: (0, 0),
    6: (0, -1),
    7: (-1, -1),
    8: (-1, 0),
}


@pytest.mark.parametrize(("orientation", "corner"), ROTATIONS.items())
def test_read_image_exif_orientation_is_applied(tmp_path, orientation, corner):
    image = Image.new("RGB", (32, 16), "black")
    image.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    result = np.asarray(read_image(tmp_path / "turned.jpg"))
    assert result.shape == ((16, 32, 3) if orientation <= 4 else (32, 16, 3))
    corners = {at: result[at].mean() for at in [(0, 0), (0, -1), (-1, 0), (-1, -1)]}
    assert max(corners, key=corners.get) == corner


def test_read_image_wrong_extension_is_read_by_its_content(tmp_path):
    Image.new("RGB", (6, 4), ORANGE).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").getpixel((0, 0)) == ORANGE


def write_noise(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)


def cut_in_half(path: Path) -> None:
    write_noise(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


BAD_FILES = {
    "cut.jpg": (cut_in_half, "truncated"),
    "cut.png": (cut_in_half, "truncated|broken"),
    "empty.jpg": (lambda path: path.touch(), "the file is empty"),
    "text.jpg": (lambda path: path.write_text("no image"), "not an image"),
    "folder.jpg": (lambda path: path.mkdir(), "it is a folder"),
    "link.jpg": (lambda path: path.symlink_to("nowhere"), "a broken link"),
    "none.jpg": (lambda path: None, "there is no such file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_read_image_bad_file_is_refused_by_name(tmp_path, name, one_line):
    make, reason = BAD_FILES[name]
    make(tmp_path / name)
    with pytest.raises(ValueError, match=reason) as error:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in one_line(error)


def test_read_image_postscript_is_not_handed_to_another_program(tmp_path):
    Image.new("RGB", (6, 4), ORANGE).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="not an image file that Pillow knows"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("limit", [1000, 3000])  # the error's bound, the warning's
def test_read_image_decompression_bomb_is_refused(
    tmp_path, monkeypatch, one_line, limit
):
    Image.new("RGB", (64, 64)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match="too many pixels") as error:
        read_image(tmp_path / "bomb.png")
    assert "bomb.png" in one_line(error)


def test_read_image_unreadable_permissions_are_named(tmp_path, monkeypatch):
    write_noise(tmp_path / "a.png")

    def refuse(path, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)  # root may read everything
    with pytest.raises(ValueError, match="permission denied; replace or remove"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("split", ["none", "train/real/00.png"])
def test_faces_dataset_missing_folder_is_named(faces_root, split, one_line):
    with pytest.raises(FileNotFoundError, match="there is no folder") as error:
        FacesDataset(faces_root / split)
    assert str(faces_root / split / "real") in one_line(error)


@pytest.mark.parametrize("name", ["real", "fake"])
def test_faces_dataset_empty_class_is_named(own_faces_root, name, one_line):
    folder = own_faces_root / "val" / name
    for path in folder.iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(ValueError, match="no images in") as error:
        FacesDataset(own_faces_root / "val")
    assert str(folder) in one_line(error)


def test_faces_dataset_real_comes_first_and_is_sorted(own_faces_root):
    (own_faces_root / "train" / "fake" / ".DS_Store").touch()
    (own_faces_root / "train" / "real" / "notes.txt").touch()
    dataset = FacesDataset(str(own_faces_root / "train"))
    assert len(dataset) == 9
    assert dataset.real_image_names == [f"{n:02}.png" for n in range(5)]
    assert dataset.fake_image_names == [f"{n:02}.png" for n in range(4)]
    assert [label for _, label in dataset] == [REAL] * 5 + [FAKE] * 4
    np.testing.assert_array_equal(dataset.get_labels(), [0] * 5 + [1] * 4)
    assert dataset.num_skipped_files == 2
    assert dataset.get_path(5) == own_faces_root / "train" / "fake" / "00.png"


def test_faces_dataset_sample_is_the_files_image(faces_root):
    dataset = FacesDataset(faces_root / "val")
    for index in range(len(dataset)):
        with Image.open(dataset.get_path(index)) as image:
            assert dataset[index][0] == image.convert("RGB")
            assert dataset[index][1] == (dataset.get_path(index).parent.name == "fake")


def test_faces_dataset_transform_makes_the_sample(faces_root):
    dataset = FacesDataset(faces_root / "val", lambda image: image.size)
    assert dataset[4] == ((24, 24), FAKE)


@pytest.mark.parametrize("index", [-1, 5])
def test_faces_dataset_index_out_of_range_is_an_index_error(faces_root, index):
    with pytest.raises(IndexError, match=rf"{index} is not in 0 ... 4"):
        FacesDataset(faces_root / "val")[index]


def test_faces_dataset_limit_and_exclude_choose_files(faces_root):
    dataset = FacesDataset(
        faces_root / "train", limit=2, exclude={"real/00.png", "fake/03.png"}
    )
    assert dataset.real_image_names == ["01.png", "02.png"]
    assert dataset.fake_image_names == ["00.png", "01.png"]


def test_faces_dataset_bad_image_is_an_error_not_another_sample(own_faces_root):
    (own_faces_root / "val" / "real" / "01.png").write_bytes(b"")
    dataset = FacesDataset(own_faces_root / "val")
    with pytest.raises(ValueError, match=r"real/01\.png: the file is empty"):
        dataset[1]


def test_resize_to_tensor_same_size_keeps_the_pixels():
    pixels = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    tensor = ResizeToTensor(4)(Image.fromarray(pixels))
    assert tensor.dtype == torch.uint8
    np.testing.assert_array_equal(tensor.numpy(), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(40, 20), (3, 100)])
def test_resize_to_tensor_flat_colour_stays(size):
    tensor = ResizeToTensor(16)(Image.new("RGB", size, ORANGE))
    assert tensor.shape == (3, 16, 16)
    for channel, value in zip(tensor, ORANGE, strict=True):
        assert (channel == value).all()


def test_resize_to_tensor_fine_stripes_average_out():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # without antialiasing they stay black or white
    tensor = ResizeToTensor(8)(Image.fromarray(stripes))
    assert abs(tensor.int() - 127).max() <= 12


@pytest.mark.parametrize("transform", [ResizeToTensor(8), lambda image: image.size])
def test_faces_dataset_getitems_are_the_items(transform, faces_root, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    dataset = FacesDataset(faces_root / "train", transform)
    indices = [7, 0, 3, 8]
    for (sample, label), index in zip(
        dataset.__getitems__(indices), indices, strict=True
    ):
        expected, true_label = dataset[index]
        assert label == true_label
        assert torch.equal(torch.as_tensor(sample), torch.as_tensor(expected))


def test_faces_dataset_resized_images_are_read_in_threads(faces_root, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    used = set()

    def note_thread(path: Path) -> Image.Image:
        used.add(threading.get_ident())
        return read_image(path)

    monkeypatch.setattr(faces_dataset, "read_image", note_thread)
    dataset = FacesDataset(faces_root / "train", ResizeToTensor(8))
    next(iter(DataLoader(dataset, batch_size=9)))  # as a loader asks
    assert len(used) > 1


def test_faces_dataset_own_transform_stays_in_one_thread(faces_root, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    root = faces_root / "train"
    dataset = FacesDataset(root, lambda _: threading.get_ident())
    assert {i for i, _ in dataset.__getitems__(range(9))} == {threading.get_ident()}
