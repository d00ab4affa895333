"""Hostile image files: each is read, or refused in a line, in bounded memory."""

import struct
from pathlib import Path

import pytest
from origin_files import encode, encode_texts, make_chunk, make_exif, make_huge_png
from PIL import Image

from loading.image_files import read_image, use_image

MOST_MIB = 1500  # for the largest image allowed, beside what is imported


def claim_tag(count: int, next_directory: int = 0) -> bytes:
    """A TIFF file whose tag claims `count` values, and what follows it."""
    tags = [(256, 4, 1, 1), (257, 4, 1, 1), (273, 4, count, 8)]
    entries = b"".join(struct.pack("<2H2I", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + struct.pack("<I", next_directory)


READ = ""  # the reason of a file that is read
EXIF, LOOP = b"Exif\0\0", claim_tag(1, next_directory=8)
PNG, BMP = encode("PNG"), encode("BMP")
# On a screen of one pixel.
GIF = b"GIF89a\1\0\1\0\0\0\0," + b"\0" * 4 + b"\xff" * 4 + b"\0\2\0\0;"
# Pillow would hand it to Ghostscript.
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
CASES = {
    "claims 4 Gpx.png": (make_huge_png(2**16, 2**16), "too many pixels"),
    "claims a row too many.png": (make_huge_png(50_000, 2_000), "too many pixels"),
    "claims rows it lacks.png": (make_huge_png(9_000, 9_000), "cannot read"),
    "frame of 4 Gpx.gif": (GIF, "too many pixels"),
    "tag of 4 G values.tif": (claim_tag(2**32 - 1), "cannot read"),
    "directory after itself.tif": (LOOP, READ),
    "text bomb.png": (encode_texts({"bomb": "x" * 10**8}, zip=True), "cannot read"),
    "program.jpg": (EPS, "a PostScript file"),
    "exif of garbage.jpg": (encode("JPEG", exif=EXIF + b"\xff" * 50), READ),
    "exif after itself.jpg": (encode("JPEG", exif=EXIF + LOOP), READ),
    "impossible turn.jpg": (encode("JPEG", exif=make_exif(Orientation=99)), READ),
    "garbage for a profile.jpg": (encode("JPEG", icc_profile=b"\0" * 99), READ),
    "checksum.png": (PNG[:32] + bytes([PNG[32] ^ 1]) + PNG[33:], "cannot read"),
    "many chunks.png": (PNG[:33] + make_chunk(b"teXt", b"") * 100_000 + PNG[33:], READ),
    "cut.webp": (encode("WEBP")[:-9], "cannot read"),
    "negative width.bmp": (BMP[:18] + struct.pack("<i", -20) + BMP[22:], "cannot read"),
}


@pytest.mark.parametrize("name", CASES)
def test_read_image_hostile_file_is_read_or_refused(name, tmp_path, refused):
    content, reason = CASES[name]
    path = tmp_path / name
    path.write_bytes(content)
    if reason == READ:
        assert read_image(path).mode == "RGB"
        return
    with refused(reason) as error:
        read_image(path)
    assert str(path) in str(error.value)
    if reason != "cannot read":  # the header shows it
        with pytest.raises(ValueError, match=reason):
            use_image(path, lambda image: image.size)


def read_mebibytes(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="another system")
@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
def test_read_image_takes_few_bytes_a_pixel(mode, tmp_path):
    side = int(Image.MAX_IMAGE_PIXELS**0.5 / 2)  # a quarter of the largest
    Image.new(mode, (side, side)).save(tmp_path / "a.png", compress_level=1)
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
    before = read_mebibytes("VmRSS")
    read_image(tmp_path / "a.png")
    assert 4 * (read_mebibytes("VmHWM") - before) < MOST_MIB
