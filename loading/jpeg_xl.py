"""JPEG XL, where the package pillow-jxl-plugin is installed: an extra.

The package decodes a picture as soon as it is opened, and turns it, but leaves it to
the caller to turn it again. So its size is read first, and its turn is forgotten.
"""

import struct
from os import SEEK_CUR, SEEK_END
from typing import IO

from PIL import ExifTags, Image, ImageFile

try:
    from pillow_jxl.JpegXLImagePlugin import JXLImageFile
except ImportError:
    JXLImageFile = None

_START = b"\xff\n"  # of the picture itself, which may lie in a container
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_LEAST_HEADER = 11  # bytes: its start, and a size of 68 bits at most
_BOX = struct.Struct(">I4s")  # its length in bytes, 0 up to the end, and its kind
_BITS = (9, 13, 18, 30)  # of a side, pixels
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4)}
_LAST_RATIO = (2, 1)


def register_jpeg_xl(most_side: int) -> None:
    """Let Pillow read JPEG XL of up to `most_side` pixels a side, where it can."""

    def open_checked(file: IO[bytes], name: str | bytes) -> ImageFile.ImageFile:
        width, height = read_size(file)
        most_pixels = Image.MAX_IMAGE_PIXELS or width * height
        if max(width, height) > most_side or width * height > most_pixels:
            raise Image.DecompressionBombError(f"{width} x {height} pixels")
        file.seek(0)
        image = JXLImageFile(file, name)
        if not image.jpeg:  # a JPEG that was packed is unpacked as it was
            image.getexif().pop(ExifTags.Base.Orientation, None)
        return image

    if JXLImageFile:
        Image.register_open(JXLImageFile.format, open_checked, _is_jpeg_xl)


def _is_jpeg_xl(head: bytes) -> bool:
    return head.startswith((_START, _CONTAINER))


def read_size(file: IO[bytes]) -> tuple[int, int]:
    """Return a JPEG XL's width and height in pixels, before it is turned.

    Source: ISO/IEC 18181-1, SizeHeader; 18181-2, the container's boxes.

    Raises:
        ValueError: it has no header that says so.
    """
    header = _read_header(file)
    if not header.startswith(_START) or len(header) < _LEAST_HEADER:
        raise ValueError("a JPEG XL without a header")
    bits = int.from_bytes(header[len(_START) :], "little")

    def take(number: int) -> int:
        nonlocal bits
        value = bits % (1 << number)
        bits >>= number
        return value

    def take_side() -> int:
        return 8 * (take(5) + 1) if is_small else take(_BITS[take(2)]) + 1

    is_small = take(1)
    height = take_side()
    ratio = take(3)
    if not ratio:
        return take_side(), height
    numerator, denominator = _RATIOS.get(ratio, _LAST_RATIO)
    return height * numerator // denominator, height


def _read_header(file: IO[bytes]) -> bytes:
    """Return a picture's first bytes, of its parts in the container if it has one."""
    file.seek(0)
    header = file.read(_LEAST_HEADER)
    if not header.startswith(_CONTAINER[:_LEAST_HEADER]):
        return header
    header, end, total = b"", len(_CONTAINER), file.seek(0, SEEK_END)
    while len(header) < _LEAST_HEADER and end + _BOX.size <= total:
        start = file.seek(end)
        length, kind = _BOX.unpack(file.read(_BOX.size))
        if length == 1:  # it does not fit into four bytes
            length = int.from_bytes(file.read(8), "big")
        end = min(start + length, total) if length else total
        if kind == b"jxlp":
            file.seek(4, SEEK_CUR)  # over the part's number
        if kind in (b"jxlc", b"jxlp"):
            missing = _LEAST_HEADER - len(header)
            header += file.read(max(0, min(missing, end - file.tell())))
    return header
