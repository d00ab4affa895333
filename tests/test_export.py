"""Tests of the script that writes detectors for other programs."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from script_helpers import PROJECT, make_checkpoint

import export
from exporting.checking import Agreement
from files.provenance import describe_file
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")
NAMES = ("detector.onnx", "detector.pt2", "detector.safetensors", "detector_int8.onnx")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "net.pt", dataset="faces", threshold=0.4)


@pytest.mark.slow
def test_main_writes_every_format_checked_with_examples_that_work(
    checkpoint, faces_root, tmp_path, capsys
):
    words = ["-cpp", str(checkpoint), "--to", str(tmp_path / "to"), "--int8"]
    words += ["--data-root", str(faces_root.parent)]
    export.main([*words, "--format", "onnx", "pt2", "safetensors"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "checked on 5 validation images of faces"
    assert [line.split(":")[0] for line in lines[1:4]] == [*NAMES[:2], NAMES[3]]
    assert lines[-1].startswith("note: checkpoint and export were compared in fp32")
    assert all("of 5 pictures P(fake) differs by at most" in s for s in lines[1:4])
    known = json.loads((tmp_path / "to" / "detector.json").read_text())
    assert known["record"]["threshold"] == 0.4
    assert known["checkpoint_sha256"] == describe_file(checkpoint)["sha256"]
    for name in NAMES:
        assert known["sha256"][name] == describe_file(tmp_path / "to" / name)["sha256"]
        # It goes to others, whom the exporter's folders do not concern.
        content = (tmp_path / "to" / name).read_bytes()
        if name.endswith("pt2"):
            with zipfile.ZipFile(io.BytesIO(content)) as parts:
                content = b"".join(map(parts.read, parts.namelist()))
        assert str(Path(export.__file__).parent).encode() not in content
    weights, wanted = load_checkpoint(tmp_path / "to" / NAMES[2]), known["record"]
    assert weights.threshold == wanted["threshold"]
    sizes = [(tmp_path / "to" / NAMES[n]).stat().st_size for n in (0, 3)]
    assert sizes[1] < 0.8 * sizes[0]
    pictures = sorted((faces_root / "test").rglob("*.png"))[:2]
    done = run_example(tmp_path / "to" / "example.py", *pictures)
    assert done.returncode == 0
    assert all("P(fake)=" in line for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == 2
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    done = run_example(tmp_path / "to" / "example.py", tmp_path / "a.pdf", pictures[0])
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    note, reason = done.stderr.splitlines()
    assert note.endswith("is taken for a crop to one face")
    assert reason.startswith(f"cannot read the picture {tmp_path / 'a.pdf'}: ")


def run_example(path: Path, *words: object) -> subprocess.CompletedProcess:
    """Run what is exported beside the detector."""
    command = [sys.executable, path, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_example_without_a_picture_says_how_it_is_used():
    done = run_example(PROJECT / "exporting" / "example.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python example.py PICTURE...")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--int8"], "--int8 is calibrated on training images"),
        (["-d", "none"], "no dataset 'none'"),
        (["--pictures", "nowhere"], "there is no picture nowhere"),
        (["--to", str(PROJECT)], "it is there and not empty; name a new folder"),
    ],
)
def test_main_refuses_in_a_line_and_writes_nothing(
    words, message, checkpoint, tmp_path, refused
):
    words = ["-cpp", str(checkpoint), "--to", str(tmp_path / "to"), *words]
    with refused(message, (ValueError, OSError)):
        export.main([*words, "--data-root", str(tmp_path)])
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("agreement", "message"),
    [
        (Agreement(100, 0.002, 0.0, 0), "differs by 0.002, at most 0.001"),
        (Agreement(100, 0.5, 0.1, 3), "int8 changes 3 of 100 verdicts"),
    ],
)
def test_checks_refuse_what_says_something_else(agreement, message, monkeypatch):
    monkeypatch.setattr(export, "compare", lambda *_: agreement)
    monkeypatch.setattr(export, "load_exported", lambda path: None)
    is_quantised = agreement.num_other > 0
    check = export.check_quantised if is_quantised else export.check
    with pytest.raises(ValueError, match=message):
        check(SimpleNamespace(path="net.pt"), Path("detector.onnx"), [])
