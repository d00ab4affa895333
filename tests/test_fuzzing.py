"""Broken and hostile files: each is read, or refused with one clear line."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzzing
import pytest
import torch
from PIL import Image, PngImagePlugin

from files.history import CURVES, load_history
from files.run_files import load_snapshot
from files.tensors import load_tensors, save_tensors
from loading.image_files import check_image_header, read_image
from models import SimpleNet
from utils import load_checkpoint

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
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "count"),
    [("images", 2100), ("tensors", 600), ("snapshots", 200), ("histories", 300)],
)
def test_readers_damaged_files_are_read_or_refused_in_a_line(
    target: str, count: int
) -> None:
    result = run_apart(str(WHO), target, str(count), "0")
    assert result["failures"] == []
    assert result["read"] + result["refused"] == count
    assert result["read"] > 0
    assert result["max_rss_mib"] < MOST_MIB


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of formats that will go
def test_make_images_every_kind_is_read_undamaged(tmp_path: Path) -> None:
    for name, data in fuzzing.make_images().items():
        (tmp_path / name).write_bytes(data)
        if not name.endswith(".eps"):  # a program: refused below
            assert read_image(tmp_path / name).mode == "RGB"


# --- checkpoints ---------------------------------------------------------------------


class Hostile:
    """Its pickle calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], Any]:
        return self.call


HOSTILE = {
    "system": lambda path: Hostile(os.system, f"touch {path}"),
    "open": lambda path: Hostile(open, str(path), "w"),
    "eval": lambda path: Hostile(eval, f"open({str(path)!r}, 'w')"),
    "popen": lambda path: Hostile(subprocess.Popen, ["touch", str(path)]),
    "nested": lambda path: Hostile(torch.load, Hostile(os.system, f"touch {path}")),
}


def write_archive(path: Path, content: bytes) -> None:
    """Write an archive as torch does, with a pickle of the caller's in it."""
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(4.0)}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            is_pickle = entry.filename.endswith("data.pkl")
            data = content if is_pickle else source.read(entry)
            target.writestr(entry.filename, data)


def write_zip(value: object, path: Path) -> None:
    """Save as torch does today."""
    torch.save(value, path)


def write_legacy(value: object, path: Path) -> None:
    """Save as torch did before 1.6."""
    torch.save(value, path, _use_new_zipfile_serialization=False)


def write_plain(value: object, path: Path) -> None:
    """Save as Python does."""
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize("load", [load_tensors, load_checkpoint, load_snapshot])
@pytest.mark.parametrize("write", [write_zip, write_legacy, write_plain])
@pytest.mark.parametrize("name", HOSTILE)
def test_load_hostile_pickle_is_refused_and_creates_no_file(
    name: str, write: Callable, load: Callable, tmp_path: Path, one_line: Callable
) -> None:
    path, victim = tmp_path / "hostile.pt", tmp_path / "created"
    value = {"model": {"fc3.weight": torch.ones(2)}, "x": HOSTILE[name](victim)}
    write(value, path)
    with pytest.raises(ValueError, match="refused to load") as error:
        load(path)
    assert str(path) in one_line(error)
    assert not victim.exists()


def encode_int(value: int) -> bytes:
    """Return the opcode that pushes an integer."""
    return b"\x8a\x08" + value.to_bytes(8, "little")


LAUGHS = b"]q\x00" + b"".join(b"]q%c" % (i + 1) + b"h%ca" % i * 10 for i in range(40))
GREEDY = {
    "bytearray": (b"cbuiltins\nbytearray\n" + encode_int(1 << 33) + b"\x85R.", "other"),
    "tensor": (b"ctorch\nTensor\n" + encode_int(1 << 40) + b"\x85\x81.", "other"),
    "storage": (b"ctorch\nFloatStorage\n" + encode_int(1 << 40) + b"\x85R.", "damaged"),
    "deep key": (b"}" + b")" + b"\x85" * 1_000_000 + b"K\x01s.", "other"),
    "deep list": (b"]" * 100_000 + b"a" * 99_999 + b".", "damaged"),
    "laughs": (LAUGHS + b".", "too many times"),
    "itself": (b"]q\x00h\x00a.", "too many times"),
    "memo": (b"h\xff.", "damaged"),
    "empty": (b"", "damaged"),
    "no stop": (b"}", "damaged"),
}


@pytest.mark.parametrize("name", GREEDY)
def test_load_tensors_greedy_pickle_is_refused(
    name: str, tmp_path: Path, one_line: Callable
) -> None:
    path = tmp_path / "greedy.pt"
    content, reason = GREEDY[name]
    write_archive(path, b"\x80\x02" + content)
    with pytest.raises(ValueError, match="refused to load") as error:
        load_tensors(path)
    assert reason in one_line(error)


def test_load_tensors_repeated_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.pt"
    save_tensors({"w": torch.zeros(1).expand(10**12)}, path)
    with pytest.raises(ValueError, match="larger than its data"):
        load_tensors(path)


def test_load_tensors_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**8)
    with pytest.raises(ValueError, match="unpacks to more than its size"):
        load_tensors(path)


@pytest.mark.parametrize("shared", [1, 3])
def test_load_tensors_shared_values_are_read(shared: int, tmp_path: Path) -> None:
    weights, limits = torch.ones(3), [1, 2]
    save_tensors([{"a": weights, "b": limits}] * shared, tmp_path / "x.pt")
    assert len(load_tensors(tmp_path / "x.pt")) == shared


CHECKPOINT_DAMAGES: dict[str, tuple[Callable[[dict], Any], str]] = {
    "nan": (lambda s: s["fc3.bias"].fill_(float("nan")), "fc3.bias holds NaN"),
    "infinite": (lambda s: s["fc2.bias"].fill_(float("inf")), "fc2.bias holds NaN"),
    "shape": (lambda s: s.update({"fc3.bias": torch.ones(3)}), "has shape"),
    "no tensor": (lambda s: s.update({"fc3.bias": "x"}), "no dense"),
    "missing": (lambda s: s.pop("conv1.bias"), "1 of 12 tensors missing"),
    "unexpected": (lambda s: s.update({"a\nb": torch.ones(1)}), "unexpected"),
    "wide": (lambda s: s.update({"fc3.bias": torch.ones(1).expand(2)}), "larger"),
}


@pytest.fixture(scope="module")
def simple_net_state() -> dict[str, torch.Tensor]:
    """The weights of an untrained SimpleNet."""
    return SimpleNet().state_dict()


@pytest.mark.parametrize("name", CHECKPOINT_DAMAGES)
def test_load_checkpoint_damaged_weights_are_refused(
    name: str, simple_net_state: dict, tmp_path: Path, one_line: Callable
) -> None:
    path = tmp_path / "damaged.pt"
    small = ("fc3.bias", "fc2.bias")
    state = {k: v.clone() if k in small else v for k, v in simple_net_state.items()}
    damage, reason = CHECKPOINT_DAMAGES[name]
    damage(state)
    torch.save({"model": state, "val_acc": 1.0, "test_acc": 1.0, "epoch": 1}, path)
    with pytest.raises(ValueError, match=r"damaged\.pt") as error:
        load_checkpoint(path)
    assert reason in one_line(error)


# --- histories -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe[]",
        b"[1]",
        b"[NaN]",
        json.dumps([{c: [10**400] for c in CURVES}]).encode(),
        json.dumps([{c: [float("nan")] for c in CURVES}]).encode(),
        json.dumps([{c: [True] for c in CURVES}]).encode(),
        b'[{"train_loss": [' + b"9" * 10_000 + b"]}]",
    ],
    ids=range(13),
)
def test_load_history_broken_file_is_refused(
    content: bytes, tmp_path: Path, one_line: Callable
) -> None:
    path = tmp_path / "history.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"history\.json") as error:
        load_history(path)
    one_line(error)


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
from image_reading import read_image
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
