"""JPEG XL: its size before it is decoded, and its pixels where the package is there."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from loading import ImageFile, image_files, jpeg_xl, read_image
from loading.image_files import read_image_and_size

CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "
ORANGE = (200, 100, 50)


def make_header(*fields: tuple[int, int]) -> bytes:
    """Return a picture's first bytes, of values and their numbers of bits."""
    bits = position = 0
    for value, number in fields:
        bits |= value << position
        position += number
    return b"\xff\n" + bits.to_bytes(12, "little")


def make_box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


LARGE = make_header((0, 1), (3, 2), (69_999, 30), (0, 3), (1, 2), (4_999, 13))


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (make_header((1, 1), (4, 5), (0, 3), (2, 5)), (24, 40)),
        (make_header((1, 1), (5, 5), (5, 3)), (85, 48)),  # 16 : 9
        (make_header((0, 1), (2, 2), (749, 18), (3, 3)), (1000, 750)),
        (make_header((0, 1), (0, 2), (99, 9), (7, 3)), (200, 100)),
        (LARGE, (5_000, 70_000)),
        (CONTAINER + make_box(b"jxlc", LARGE), (5_000, 70_000)),
        (
            CONTAINER
            + (b"\0\0\0\1Exif" + (20).to_bytes(8, "big") + b"IIII")
            + make_box(b"jxlp", b"\0\0\0\0" + LARGE[:5])
            + (b"\0\0\0\0jxlp\0\0\0\1" + LARGE[5:]),
            (5_000, 70_000),
        ),
    ],
)
def test_read_size_is_that_of_the_header(content, size):
    assert jpeg_xl.read_size(io.BytesIO(content)) == size


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\n\0",
        CONTAINER,
        CONTAINER + make_box(b"jxlp", b"\0\0\0\0" + LARGE[:5]) + b"\0\0\0\2jxlp",
        CONTAINER + b"\0\0\0\3Exif",
        CONTAINER + b"\0\0\0\1Exif" + bytes(8),
        CONTAINER + make_box(b"jxlc", b"no picture at all"),
    ],
)
def test_read_size_without_a_header_is_an_error(content):
    with pytest.raises(ValueError, match="without a header"):
        jpeg_xl.read_size(io.BytesIO(content))


@pytest.fixture
def encode():
    pytest.importorskip("pillow_jxl", reason="an extra")
    image_files._get_formats()

    def encode(image: Image.Image, **options: object) -> bytes:
        stream = io.BytesIO()
        image.save(stream, "JXL", **options)
        return stream.getvalue()

    return encode


@pytest.mark.parametrize("size", [(64, 48), (17, 600), (333, 222), (1000, 750)])
@pytest.mark.parametrize("use_container", [True, False])
def test_read_image_jpeg_xl_is_read_by_its_content(size, use_container, encode):
    data = encode(Image.new("RGB", size, ORANGE), use_container=use_container)
    assert jpeg_xl.read_size(io.BytesIO(data)) == size
    pixels = np.asarray(read_image(ImageFile("a.jpg", data), at_least=8)).astype(int)
    assert pixels.shape == (size[1], size[0], 3)
    assert abs(pixels - ORANGE).max() <= 3


def test_read_image_jpeg_xl_is_not_turned_twice(encode):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(Image.new("RGB", (64, 48), ORANGE), exif=exif.tobytes())
    image, size = read_image_and_size(ImageFile("a.jxl", data))
    assert image.size == size == (64, 48)


def test_read_image_jpeg_in_jpeg_xl_is_turned_as_the_jpeg(encode, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / "a.jpg"
    Image.new("RGB", (64, 48), ORANGE).save(path, exif=exif)
    with Image.open(path) as jpeg:
        data = encode(jpeg, lossless_jpeg=True)
    assert read_image(ImageFile("a.jxl", data)).size == (48, 64)


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (
            make_header((0, 1), (3, 2), (69_999, 30), (0, 3), (0, 2), (7, 9)),
            "8 x 70000",
        ),
        (make_header((0, 1), (2, 2), (59_999, 18), (1, 3)), "60000 x 60000"),
    ],
)
def test_read_image_jpeg_xl_is_refused_before_it_is_decoded(
    header, size, encode, monkeypatch
):
    monkeypatch.delattr(jpeg_xl.JXLImageFile, "_open")
    with pytest.raises(ValueError, match=rf"too many pixels .*\({size} pixels"):
        read_image(ImageFile("a.jxl", header))


def test_read_image_damaged_jpeg_xl_is_called_so(encode):
    data = encode(Image.new("RGB", (640, 480), ORANGE))
    with pytest.raises(ValueError, match="it is a damaged JXL file: replace it"):
        read_image(ImageFile("a.jxl", data[: len(data) // 2]))
