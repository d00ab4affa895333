"""Detectors in ONNX: what they say, and what is refused of a file."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import make_image
from script_helpers import PROJECT, make_checkpoint

import predict
from exporting.checking import MOST_APART, compare, draw_pictures
from exporting.description import describe_export
from exporting.formats import OPSET, save_onnx
from files.tensors import to_tensors
from hardware import Precision
from judging.exported import ENTRY, ExportedDetector, load_exported, prepare_runtime
from judging.guarding.fitting import fit_guard
from loading import PUBLISHED
from utils import load_checkpoint

NOT_THERE = ("torch", "scipy", "sklearn", "matplotlib", "cv2", "tuning", "models")
pytestmark = pytest.mark.usefixtures("small_simple_net")


def make_samples(num: int, seed: int = 0) -> np.ndarray:
    images = [make_image(seed + n, fake=n % 2 == 1, size=64) for n in range(num)]
    return np.stack([np.asarray(image) for image in images])


@pytest.fixture(scope="module")
def pair(tmp_path_factory, small_simple_net) -> tuple[Path, Path]:
    """A checkpoint with a guard, and the same detector in ONNX."""
    folder = tmp_path_factory.mktemp("pair")
    detector = load_checkpoint(make_checkpoint(folder / "net.pt"))
    scored, numbers = detector.examine(make_samples(60, 100), Precision())
    held = {kind: values[:30, None] for kind, values in numbers.items()}
    guard = fit_guard(numbers, np.zeros(60, dtype=int), held, ["none"], 60)
    low, high = np.quantile(scored.fake_scores, [0.3, 0.4]).tolist()
    chosen = {"threshold": high, "real_below": low, "kept_conditions": ["none"]}
    line = {"llr_slope": 2.0, "llr_intercept": 0.5, "llr_lower": -1.0, "llr_upper": 1.0}
    chosen |= line | {"temperature": 0.5, "logit_bias": 0.2}
    record = replace(detector.record, guard=guard.to_dict(), **chosen)
    detector = replace(detector, record=record)
    path = folder / "detector.onnx"
    save_onnx(detector, describe_export(detector, OPSET), path)
    guard = to_tensors(guard.to_dict())
    return make_checkpoint(folder / "net.pt", guard=guard, **chosen), path


@pytest.mark.slow
def test_exported_detector_says_what_its_checkpoint_says(pair):
    samples = np.concatenate([make_samples(6), np.full((1, 64, 64, 3), 9, np.uint8)])
    detector, exported = load_checkpoint(pair[0]), load_exported(pair[1])
    (scored, numbers), (again, same) = (
        d.examine(samples, Precision()) for d in (detector, exported)
    )
    for name in ("fake_scores", "real_scores", "differences", "llrs"):
        found = getattr(again, name)
        np.testing.assert_allclose(found, getattr(scored, name), atol=1e-5)
    for kind, values in numbers.items():
        np.testing.assert_allclose(same[kind], values, rtol=1e-4, atol=1e-4)
    alone = exported.score_samples(samples[:1])
    np.testing.assert_allclose(alone.fake_scores, again.fake_scores[:1], atol=1e-6)
    assert np.ptp(scored.fake_scores) > 1e-3
    assert detector.guard.compare(numbers)[-1]["detail"].excess > 1
    (outputs,) = exported.session.run(["fake_score"], {"pixels": samples})
    np.testing.assert_allclose(outputs, scored.fake_scores, atol=1e-5)


@pytest.mark.slow
def test_predict_without_pytorch_and_scipy_gives_the_rows_of_the_checkpoint(
    pair, tmp_path, capsys
):
    for number in range(6):
        make_image(number, fake=number % 2 == 1, size=64).save(
            tmp_path / f"{number}.png"
        )
    (tmp_path / "6.png").write_bytes(b"text")
    make_image(7, fake=True, size=30).save(tmp_path / "7.png")
    judge = ["--no-find-faces", "--precision", "fp32", str(tmp_path), "--json"]
    assert predict.main(["-cpp", str(pair[0]), *judge, str(tmp_path / "a.json")]) == 1

    words = ["-cpp", str(pair[1]), *judge, str(tmp_path / "b.json")]
    code = (
        f"import sys; sys.modules |= dict.fromkeys({NOT_THERE}); import predict; "
        f"sys.exit(predict.main({words}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    tables = [
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("a.json", "b.json")
    ]
    own = {"checkpoint", "checkpoint_sha256", "examined", "precision"}
    kinds = [{row["precision"] for row in table} for table in tables]
    assert kinds == [{"fp32 on cpu"}, {"onnxruntime"}]
    for row, other in zip(*tables, strict=True):
        assert row.keys() == other.keys()
        for name in row.keys() - own:
            value = row[name]
            is_number = isinstance(value, float)
            assert other[name] == (
                pytest.approx(value, abs=1e-3) if is_number else value
            )
    assert {row["verdict"] for row in tables[0]} >= {"inconclusive", None}
    assert capsys.readouterr().out.splitlines()[:8] == done.stdout.splitlines()[:8]


def test_predict_exported_detectors_have_no_maps_and_no_gpu(pair, capsys):
    with pytest.raises(SystemExit) as end:
        predict.main(["-cpp", str(pair[1]), "a.png", "--explain"])
    assert end.value.code == 2
    assert "maps, which need the checkpoint" in capsys.readouterr().err
    with pytest.raises(ValueError, match="--device cuda is for checkpoints"):
        predict.main(["-cpp", str(pair[1]), "a.png", "--device", "cuda"])
    with pytest.raises(ValueError, match="--workers 2 is for checkpoints"):
        prepare_runtime("auto", "fp32", 4, 2)
    assert prepare_runtime("auto", "fp32", 4, 0).batch_size == 4


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (None, "does not hold what export.py writes"),
        ([1], "its record is a list"),
        ({"temperature": -1}, "its temperature is -1"),
        ({"threshold": 1e999}, "its threshold is inf"),
        ({"preprocessing": {}}, "mean must be 3"),
        ({"guard": {"a": 1}}, "its guard is damaged"),
        ({"zones": {"jpeg=1": [0, 1]}}, "no condition"),
        ({"preprocessing": replace(PUBLISHED, size=65).to_dict()}, r"\[65, 65, 3\]"),
    ],
)
def test_load_exported_trusts_nothing_in_the_file(
    entries, message, pair, tmp_path, refused
):
    model = onnx.load(pair[1])
    (known,) = (json.loads(p.value) for p in model.metadata_props if p.key == ENTRY)
    if isinstance(entries, dict):
        entries = {**known["record"], **entries}
    text = json.dumps({} if entries is None else {"record": entries})
    onnx.helper.set_model_props(model, {ENTRY: text})
    onnx.save(model, tmp_path / "changed.onnx")
    with refused(message) as error:
        load_exported(tmp_path / "changed.onnx")
    assert "changed.onnx" in str(error.value)


def test_load_exported_says_what_is_wrong_with_a_file(tmp_path, refused, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no file"):
        load_exported(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_bytes(b"text")
    with refused("it is damaged, no detector in ONNX, or not for"):
        load_exported(tmp_path / "text.onnx")
    monkeypatch.setattr("judging.exported.onnxruntime", None)
    with pytest.raises(ValueError, match="requirements-onnx.txt"):
        load_exported(tmp_path / "text.onnx")


def test_exported_detector_takes_one_process(pair, monkeypatch, refused):
    for name, value in {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with refused("runs in one process, and torchrun started 2"):
        predict.main(["-cpp", str(pair[1]), "photo.jpg"])


def test_compare_looks_at_what_the_graph_itself_calls_fake(pair, monkeypatch):
    detector, exported = load_checkpoint(pair[0]), load_exported(pair[1])
    pictures = draw_pictures(64, 3)
    assert compare(detector, exported, pictures).largest < MOST_APART
    honest = ExportedDetector.compute_fake_scores
    monkeypatch.setattr(
        ExportedDetector, "compute_fake_scores", lambda *a: honest(*a) + 0.5
    )
    assert compare(detector, exported, pictures).largest > 0.4
