"""What a file is that cannot be read as a picture, told by its first bytes."""

import re

from PIL import Image

from files.kinds import STAND_INS

NUM_BYTES = 512  # of a file's beginning, by which it is told
# Endings of pictures that are read only where Pillow, or a package beside it, can. They
# are listed with the others, so that no folder's pictures are passed over in silence.
EXTENSIONS = frozenset((".avif", ".heic", ".heif", ".hif", ".jxl", ".mpo"))

RAW = "a camera's raw file: develop it to a TIFF, PNG or JPEG first"
_SAVE = "save it as a PNG or JPEG first"
_KINDS = (  # how it begins, what Pillow calls it if it may read it, what it is
    (
        rb".{4}ftypavi[fs]",
        "AVIF",
        f"an AVIF picture: pip install --upgrade pillow, or {_SAVE}",
    ),
    (
        rb".{4}ftyp(he[iv][cxms]|mi[fa1]|msf1)",
        "HEIF",
        f"a HEIC (HEIF) picture: pip install pillow-heif, or {_SAVE}",
    ),
    (rb".{4}ftypcrx |FUJIFILMCCD|II(R[OS]|U\0)|MMOR|FOVb|II\*\0.{4}CR|\0MRM", "", RAW),
    (
        rb".{4}ftyp|RIFF.{4}AVI |\x1aE\xdf|\0\0\x01[\xb3\xba]|G.{187}G|.{4}G.{191}G",
        "",
        "a video: save its frames as images first, for instance with "
        "ffmpeg -i VIDEO -vf fps=1 frame_%04d.png",
    ),
    (
        rb"\xff\n|\0\0\0\x0cJXL ",
        "JXL",
        f"a JPEG XL picture: pip install pillow-jxl-plugin, or {_SAVE}",
    ),
    (
        rb"%PDF",
        "",
        "a PDF: take the images out of it first, for instance with "
        "pdfimages -png PDF image",
    ),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "", f"a PostScript file: {_SAVE}"),
    (rb"(\s*<\?xml.*)?\s*<svg", "", f"an SVG drawing: {_SAVE}"),
    (rb"PK\x03\x04", "", "a ZIP archive: unpack it first"),
    (
        rb".{257}ustar",
        "",
        "a tar archive: unpack it first, or let make_table.py make a dataset of it",
    ),
    *((pattern, "", words) for pattern, words in STAND_INS.items()),
)


def describe_kind(head: bytes) -> str | None:
    """Say what a file is by its first `NUM_BYTES`, and what to do; None if unknown."""
    for pattern, name, words in _KINDS:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            is_readable = name in Image.OPEN
            return f"a damaged {name} file: replace it" if is_readable else words
    return None
