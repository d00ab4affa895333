"""What a checkpoint says: it comes back as it was, and what is wrong is refused."""

import io
import math
import zipfile
from typing import Any

import pytest
import torch
from origin_files import make_huge_png

from files.classes import CLASS_NAMES
from files.provenance import VERSION
from files.safetensors_files import save_safetensors
from files.tensors import load_tensors, save_tensors
from records.checkpoint import CheckpointRecord, start_record
from records.checkpoint_files import read_checkpoint, save_checkpoint

CHOSEN = {
    **{"val_acc": 90.0, "test_acc": 80, "epoch": 3, "run_id": "ab"},
    **{"temperature": 1.5, "temperature_interval": [1.2, 1.9], "logit_bias": -0.2},
    **{"log_losses": [0.5, 0.4], "calibration_notes": ["a note"]},
    **{"llr_slope": -0.7, "llr_intercept": -0.1, "val_fake_share": 0.4},
    **{"llr_lower": -3.1, "llr_upper": 0.0},
    **{"threshold": 0.45, "threshold_policy": "equal error rates on 9"},
    "reliability": [[0.1, 0.4, 1, 5], [0.6, 0.9, 4, 4]],
}
STARTED = {
    **{"model_name": "SimpleNet", "dataset": "d", "data_fingerprint": "x"},
    **{"preprocessing": {"mean": [0.5] * 3}, "flags": {"lr": 0.1, "name": None}},
}


def test_record_comes_back_from_a_file_whole(tmp_path):
    record = start_record(**ENTRIES)
    weights = {"w": torch.arange(4.0)}
    save_tensors({"model": weights, **record.to_dict()}, tmp_path / "a.pt")
    state, read = read_checkpoint(str(tmp_path / "a.pt"))
    assert read == record
    assert torch.equal(state["w"], weights["w"])
    names = {"model", "class_names", "versions", "format_version"}
    assert load_tensors(tmp_path / "a.pt").keys() == {*ENTRIES, *names}
    # The same as a file of safetensors, in any memory format, with equal bytes.
    images = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    weights |= {"images": images, "again": images}
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path in paths:
        save_checkpoint(weights, record, path)
    state, read = read_checkpoint(paths[0])
    assert read == record
    assert all(torch.equal(state[name], weights[name]) for name in weights)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert record.class_names == list(CLASS_NAMES)
    assert record.versions["suite"] == VERSION


@pytest.mark.parametrize(
    "content",
    [{"val_acc": 88.0, "test_acc": 85.0, "epoch": 0}, {"val_acc": 1, "new in 9.9": 3}],
)
def test_record_of_other_writers_has_defaults_for_the_rest(content):
    known = {name: value for name, value in content.items() if " " not in name}
    assert CheckpointRecord.from_untrusted(content) == CheckpointRecord(**known)
    assert CheckpointRecord().to_dict() == {
        **{"format_version": 2, "temperature": 1.0, "logit_bias": 0.0, "epoch": 0}
    }


ENTRIES = {**STARTED, **CHOSEN}
NUMBERS = [name for name, value in CHOSEN.items() if isinstance(value, int | float)]
WRONG: list[tuple[str, Any, str]] = [
    *((name, math.nan, f"its {name} is nan, not a .*number") for name in NUMBERS),
    *((name, torch.ones(2, 2), f"its {name} is tensor") for name in ENTRIES),
    *((name, None, f"its {name} is None") for name in ENTRIES),
    ("class_names", ["fake", "real"], "class_names are .*, not .'real', 'fake'"),
    ("threshold", 2, "its threshold is 2, not a number from 0 to 1.000001"),
    ("threshold", "x\n", "its threshold is 'x.n'"),
    ("threshold", 10**400, "its threshold is 1000"),
    ("temperature", 0.0, "its temperature is 0.0, not a number above 0"),
    ("val_acc", 101, "its val_acc is 101, not a number from 0 to 100"),
    ("val_fake_share", 1.1, "its val_fake_share is 1.1"),
    ("epoch", 1.0, "its epoch is 1.0, not a whole number"),
    ("epoch", -1, "its epoch is -1"),
    ("log_losses", [0.5], "its log_losses is .0.5., not a list of two numbers"),
    ("log_losses", [0.5, "x"], "its log_losses is .0.5, 'x'., not a list of two"),
    ("temperature_interval", [0, math.nan], "not a list of two numbers"),
    ("flags", [1], "its flags is .1., not a dict"),
    ("run_id", b"a", "its run_id is b'a', not a str"),
]


@pytest.mark.parametrize(("name", "value", "reason"), WRONG)
def test_record_with_a_wrong_entry_is_refused(name, value, reason, refused):
    content = start_record(**ENTRIES).to_dict()
    CheckpointRecord.from_untrusted(content)
    with refused(reason):
        CheckpointRecord.from_untrusted({**content, name: value})


@pytest.mark.parametrize("name", ["threshold", "llr_lower", "llr_upper"])
def test_record_that_lacks_what_an_entry_needs_is_refused(name, refused):
    content = start_record(**ENTRIES, real_below=0.4).to_dict()
    del content[name]
    with refused(f"it has (real_below|llr_upper|llr_lower), but no {name}"):
        CheckpointRecord.from_untrusted(content)


WEIGHTS = {"conv3.weight": torch.ones(2), "fc3.weight": torch.ones(2)}


def pack(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer: fetch"),
        (b"\n<!DOCTYPE html><html>", "it is a web page: download the file itself"),
        (b"\x89HDF\r\n\x1a\n", "Keras file"),
        (b"", "the file is empty"),
        (b"\x40" + bytes(7) + b'{"a":{"dtype":"', "it is a file of safetensors: let i"),
        (b"\x08\x08\x12\x07pytorch", "it is an ONNX file"),
        (b"\x1f\x8b\x08", "it is a packed file: unpack it"),
        (b'[{"train_loss": []}]', "it is JSON, as a history is"),
        (make_huge_png(9, 9), "it is a picture or a video"),
        (pack("config.json", "model.weights.h5"), r"other files \(config.json, model"),
        (pack("net/code/x.py", "net/constants.pkl", "net/data.pkl"), "a TorchScript"),
        (WEIGHTS, "is a dict of weights, which seem to be for SimpleNet; save"),
        ({"epoch": 1, "net": WEIGHTS}, "has weights under 'net', which .* SimpleNet"),
        ({"epoch": 1, "a\nb": {"x": torch.ones(2)}}, "weights under 'a.{1,3}nb'; save"),
        (b"PK\x03\x04", "damaged, or not a file of torch"),
        ([1, 2], "no entry 'model' with weights, but a list"),
        ({"epoch": 1, "state_dict": {}}, "but entries such as 'epoch', 'state_dict';"),
        ({"model": 3}, "no entry 'model' with weights"),
        ({"trainer": {}, "run": {}}, "snapshot .* best epoch is .*x_last_m.1.pt"),
        ({"model": {}, "threshold": 2}, ": its threshold is 2, not"),
    ],
)
def test_read_checkpoint_says_what_a_file_is_instead(
    content, reason, tmp_path, refused
):
    path = tmp_path / "x_last_m_last.1.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_tensors(content, path)
    with refused(f"{tmp_path}.*{reason}"):
        read_checkpoint(path)


def test_read_checkpoint_of_a_foreign_file_of_safetensors(tmp_path, refused):
    path = tmp_path / "a.safetensors"
    save_safetensors({"w": torch.ones(2)}, {}, path)
    assert read_checkpoint(path)[1] == CheckpointRecord()
    for record, reason in (("[" * 100_000, "is not JSON"), ('{"epoch": -1}', "epoch")):
        save_safetensors({"w": torch.ones(2)}, {"record": record}, path)
        with refused(f"{path}.*{reason}"):
            read_checkpoint(path)
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="refused to load .* it is damaged"):
        read_checkpoint(path)


def test_read_checkpoint_missing_file_says_what_writes_one(tmp_path, refused):
    with refused(r"train_main\.py writes", FileNotFoundError):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError, match="is a folder; name a file in it"):
        read_checkpoint(tmp_path)
    for name in ("README.md", "detector.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"file in it: .*detector\.safetensors"):
        read_checkpoint(tmp_path)
