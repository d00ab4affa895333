"""Broken and hostile files: each is read, or refused with one clear line."""

import io
import json
import os
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzzing
import mutations
import pytest
import torch
from PIL import Image, PngImagePlugin

from loading.image_files import check_image_header, read_image

MOST_MIB = 2048
TIMEOUT_S = 600
WHO = Path(fuzzing.__file__)


def run_apart(*arguments: str) -> dict[str, Any]:
    """Run a script in a process of its own, whose memory is then known."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=fuzzing.PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(fuzzing.PROJECT)},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


COUNTS = {
    "images": 1500,
    "tensors": 600,
    "checkpoints": 600,
    "weights": 300,
    "snapshots": 400,
    "histories": 300,
}


@pytest.mark.slow
@pytest.mark.parametrize("target", fuzzing.TARGETS)
def test_readers_damaged_files_are_read_or_refused_in_a_line(target: str) -> None:
    result = run_apart(str(WHO), target, str(COUNTS[target]), "0")
    assert result["failures"] == []
    assert result["read"] + result["refused"] == COUNTS[target]
    assert result["read"] > 0
    assert result["max_rss_mib"] < MOST_MIB


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of formats that will go
def test_make_images_every_kind_is_read_undamaged(tmp_path: Path) -> None:
    for name, data in fuzzing.make_images().items():
        (tmp_path / name).write_bytes(data)
        if not name.endswith(".eps"):  # a program: refused below
            assert read_image(tmp_path / name).mode == "RGB"


@pytest.mark.parametrize("target", sorted({*fuzzing.TARGETS} - {"images"}))
def test_targets_every_good_file_is_read_undamaged(target: str, tmp_path: Path) -> None:
    make_seeds, read, _ = fuzzing.TARGETS[target]
    for name, data in make_seeds().items():
        path = tmp_path / name
        path.write_bytes(data)
        if name not in ("deep.json", "numbers.json", "big.json"):  # hostile as they are
            read(path)


def fuzz_with(
    read: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    *,
    count: int = 8,
    first: int = 0,
) -> dict[str, Any]:
    """Damage histories and hand them to a reader."""
    target = fuzzing.TARGETS["histories"]._replace(read=read)
    monkeypatch.setitem(fuzzing.TARGETS, "histories", target)
    return fuzzing.fuzz("histories", count, 0, first)


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        (TypeError("x"), "TypeError('x')"),
        (ValueError("{path}: a\nb"), "unclear line"),
        (ValueError("{path}: \x1b[2K"), "unclear line"),
        (ValueError("{path}" + "x" * 1000), "unclear line"),
        (ValueError("no"), "does not name the file"),
    ],
)
def test_fuzz_reader_without_a_clear_line_fails(
    error: Exception, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> None:
        raise type(error)(str(error).replace("{path}", str(path)))

    result = fuzz_with(read, monkeypatch)
    assert result["refused"] == len(result["failures"]) == 8
    assert all(complaint in failure for failure in result["failures"])


def test_fuzz_number_alone_is_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[bytes] = []

    def read(path: Path) -> None:
        files.append(path.read_bytes())

    fuzz_with(read, monkeypatch, count=30)
    fuzz_with(read, monkeypatch, count=10, first=20)
    assert files[20:30] == files[30:]
    assert len(set(files)) > 25


def test_change_value_of_any_draw_can_be_saved_and_mostly_differs() -> None:
    files = set()
    for seed in range(300):
        value = {"model": {"a": torch.ones(2, 3)}, "names": ["x", {"y": 0.5}]}
        changed = mutations.change_value(value, random.Random(seed))
        handle = io.BytesIO()
        torch.save(changed, handle)
        files.add(handle.getvalue())
    assert len(files) > 200


# --- images --------------------------------------------------------------------------


def make_png(width: int, height: int) -> bytes:
    """Return a PNG file that claims a size and holds a row."""
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 100)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def make_text_bomb() -> bytes:
    """Return a PNG file whose text unpacks to a hundred megabytes."""
    text = PngImagePlugin.PngInfo()
    text.add_text("bomb", "x" * 10**8, zip=True)
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def make_tiff(count: int, next_directory: int) -> bytes:
    """Return a TIFF file whose tag claims `count` values, and what follows it."""
    tags = [(256, 4, 1, 1), (257, 4, 1, 1), (273, 4, count, 8)]
    entries = b"".join(struct.pack("<2H2I", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + struct.pack("<I", next_directory)


# A screen of no size, and on it a picture of 65535 x 65535 pixels.
GIF_HEAD = b"GIF89a\1\0\1\0\0\0\0," + b"\0" * 4
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
IMAGES = {
    "claims 4 Gpx": (make_png(2**16, 2**16), "too many pixels"),
    "claims a row too many": (make_png(50_000, 2_000), "too many pixels"),
    "claims rows": (make_png(9_000, 9_000), ""),
    "gif of 4 Gpx": (GIF_HEAD + b"\xff" * 4 + b"\0\2\0\0;", "too many pixels"),
    "text bomb": (make_text_bomb(), ""),
    "tiff tag of 4 G values": (make_tiff(2**32 - 1, 0), ""),
    "program": (EPS, "not an image file"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_read_image_bomb_is_refused(
    name: str, tmp_path: Path, one_line: Callable
) -> None:
    path = tmp_path / "bomb.jpg"
    content, reason = IMAGES[name]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bomb\.jpg") as error:
        read_image(path)
    assert reason in one_line(error)


def test_read_image_tiff_directory_after_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "loop.tif"
    path.write_bytes(make_tiff(1, 8))
    assert read_image(path).size == (1, 1)


def test_check_image_header_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.jpg"
    path.write_bytes(EPS)
    with pytest.raises(ValueError, match="not an image file"):
        check_image_header(path)


LARGEST = """
import json, sys
from pathlib import Path
from loading import read_image
sys.path.append("tests")
from fuzzing import get_peak_mib
read_image(Path(sys.argv[1]))
print(json.dumps({"max_rss_mib": get_peak_mib()}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_read_image_largest_allowed_stays_in_bounds(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    side = int(Image.MAX_IMAGE_PIXELS**0.5)
    Image.new(mode, (side, side)).save(path)
    assert run_apart("-c", LARGEST, str(path))["max_rss_mib"] < MOST_MIB
