"""Deep greys and colour profiles become the same sRGB bytes as what they mean."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from loading import ImageFile, read_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# The same with red and green exchanged.
SWAPPED = (
    SRGB.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")
)


def encode(image: Image.Image, kind: str = "TIFF", **options) -> ImageFile:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return ImageFile("a", buffer.getvalue())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (SWAPPED, (30, 200, 60)),
        (SRGB, (200, 30, 60)),
        (SRGB[:300], (200, 30, 60)),  # damaged
        (SWAPPED + b"\0" * 4_000_000, (200, 30, 60)),  # too large
    ],
    ids=["swapped", "srgb", "damaged", "large"],
)
def test_read_image_converts_colour_profiles(mode, profile, expected):
    image = Image.new("RGB", (6, 4), (200, 30, 60))
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    pixels = np.asarray(read_image(encode(image, icc_profile=profile))).astype(int)
    tolerance = 2 if profile is SWAPPED else 0
    assert abs(pixels - expected).max() <= tolerance


def test_read_image_profile_of_another_mode_is_ignored():
    grey = encode(Image.new("L", (6, 4), 90), "JPEG", icc_profile=SWAPPED)
    assert read_image(grey).getpixel((3, 2)) == (90, 90, 90)
    clear = Image.new("LA", (6, 4), (90, 0))
    clear = read_image(encode(clear, icc_profile=SWAPPED))
    assert clear.getpixel((3, 2)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("brightest", "white"),
    [
        *[(0, 255), (255, 255), (256, 1023), (1023, 1023), (3000, 4095)],
        *[(4096, 16383), (16384, 65535), (65535, 65535)],
    ],
)
def test_read_image_deep_grey_has_its_white_at_the_fewest_bits(brightest, white):
    values = np.array([[0, brightest // 2, brightest]], dtype=np.uint16)
    pixels = np.asarray(read_image(encode(Image.fromarray(values))))
    assert pixels[0, :, 0].tolist() == np.rint(255.0 * values[0] / white).tolist()


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "MPO"])
def test_read_image_is_read_by_its_content(kind, tmp_path: Path):
    if kind == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif", reason="an extra")
        pillow_heif.register_heif_opener()
    elif kind == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow before 11.3")
    first, second = (Image.new("RGB", (64, 48), c) for c in ((200, 100, 50), "blue"))
    more = {"save_all": True, "append_images": [second]} if kind == "MPO" else {}
    first.save(tmp_path / "a.jpg", kind, quality=95, **more)
    pixels = np.asarray(read_image(tmp_path / "a.jpg", at_least=8)).astype(int)
    assert pixels.shape[:2] == ((12, 16) if kind == "MPO" else (48, 64))
    assert abs(pixels - (200, 100, 50)).max() <= 6
