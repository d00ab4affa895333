"""Strangers' files are data: none of it is run, and what does not fit is refused."""

import errno
import io
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from files.tensors import load_model_state, load_tensors, save_tensors

VALUE = {
    "weights": [torch.arange(6.0).view(2, 3)],
    "epoch": 3,
    "name": "寿",
    "no": None,
}


def write_zip(value: object, path: Path) -> None:
    """Save as torch does today."""
    torch.save(value, path)


def write_legacy(value: object, path: Path) -> None:
    """Save as torch did before 1.6."""
    torch.save(value, path, _use_new_zipfile_serialization=False)


def write_plain(value: object, path: Path) -> None:
    """Save as Python does."""
    path.write_bytes(pickle.dumps(value))


# --- files ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_load_tensors_saved_value_comes_back(tmp_path, kind):
    path = kind(tmp_path / "a" / "file.pt")
    save_tensors(VALUE, path)
    result = load_tensors(path)
    assert torch.equal(result.pop("weights")[0], VALUE["weights"][0])
    assert result == {key: VALUE[key] for key in ("epoch", "name", "no")}


def test_load_tensors_format_before_torch_1_6_is_read(tmp_path):
    write_legacy(VALUE, tmp_path / "old.pt")
    assert torch.equal(
        load_tensors(tmp_path / "old.pt")["weights"][0], VALUE["weights"][0]
    )


@pytest.mark.parametrize(
    ("name", "reason"), [("none.pt", "does not exist"), ("", "is a folder")]
)
def test_load_tensors_missing_file_is_named(tmp_path, name, reason, one_line):
    with pytest.raises(FileNotFoundError, match=reason) as error:
        load_tensors(tmp_path / name)
    assert str(tmp_path / name) in one_line(error)


def test_load_tensors_shared_values_are_read(tmp_path):
    save_tensors([{"a": torch.ones(3), "b": [1, 2]}] * 3, tmp_path / "x.pt")
    assert len(load_tensors(tmp_path / "x.pt")) == 3


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


@pytest.mark.parametrize("write", [write_zip, write_legacy, write_plain])
@pytest.mark.parametrize("name", HOSTILE)
def test_load_tensors_hostile_pickle_is_not_run(name, write, tmp_path, one_line):
    path, victim = tmp_path / "hostile.pt", tmp_path / "created"
    write({"model": torch.ones(2), "x": HOSTILE[name](victim)}, path)
    with pytest.raises(ValueError, match="refused to load") as error:
        load_tensors(path)
    assert str(path) in one_line(error)
    assert not victim.exists()


@pytest.mark.parametrize(
    "value",
    [
        {"args": Path("a")},
        {"acc": np.float64(1)},
        nn.Linear(1, 1),
        torch.eye(2).to_sparse(),
        torch.zeros(1, dtype=torch.complex64),
        torch.zeros(1, device="meta"),
    ],
    ids=["path", "NumPy", "module", "sparse", "complex", "meta"],
)
def test_load_tensors_anything_but_plain_data_is_refused(tmp_path, value, one_line):
    save_tensors(value, tmp_path / "file.pt")
    with pytest.raises(ValueError, match="other than tensors and plain") as error:
        load_tensors(tmp_path / "file.pt")
    one_line(error)


FOREIGN = {
    "empty": b"",
    "text": b"no tensors",
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "pickle": pickle.dumps([1, 2]),
    "zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_load_tensors_foreign_file_is_refused(tmp_path, name, one_line):
    (tmp_path / "bad.pt").write_bytes(FOREIGN[name])
    with pytest.raises(ValueError, match="refused to load") as error:
        load_tensors(tmp_path / "bad.pt")
    assert "bad.pt" in one_line(error)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_load_tensors_truncated_file_is_refused(tmp_path, share, one_line):
    path = tmp_path / "bad.pt"
    save_tensors(VALUE, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="refused to load") as error:
        load_tensors(path)
    one_line(error)


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_load_tensors_flipped_bytes_are_refused_or_harmless(tmp_path, write):
    path = tmp_path / "file.pt"
    write(VALUE, path)
    good = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    num_refused = 0
    for _ in range(150):
        bad = good.copy()
        places = generator.integers(0, len(bad), 3)
        bad[places] = generator.integers(0, 256, 3)
        path.write_bytes(bad.tobytes())
        try:
            load_tensors(path)
        except ValueError as error:
            assert "\n" not in str(error)
            num_refused += 1
    assert num_refused > 20


# --- pickles that ask for more than there is -----------------------------------------


def encode_int(value: int) -> bytes:
    """Return the opcode that pushes an integer."""
    return b"\x8a\x08" + value.to_bytes(8, "little")


LAUGHS = b"]q\x00" + b"".join(b"]q%c" % (i + 1) + b"h%ca" % i * 10 for i in range(40))
DEEP_KEY = b"}" + b")" + b"\x85" * 1_000_000 + b"K\x01s."
GREEDY = {
    "bytearray": (b"cbuiltins\nbytearray\n" + encode_int(1 << 33) + b"\x85R.", "other"),
    "tensor": (b"ctorch\nTensor\n" + encode_int(1 << 40) + b"\x85\x81.", "other"),
    "storage": (b"ctorch\nFloatStorage\n" + encode_int(1 << 40) + b"\x85R.", "damaged"),
    "bytes": (
        b"ctorch.storage\nUntypedStorage\n" + encode_int(1 << 33) + b"\x85R.",
        "other",
    ),
    "deep key": (DEEP_KEY, "other"),
    "deep list": (b"]" * 100_000 + b"a" * 99_999 + b".", "too many times"),
    "laughs": (LAUGHS + b".", "too many times"),
    "itself": (b"]q\x00h\x00a.", "too many times"),
    "memo": (b"h\xff.", "damaged"),
    "empty": (b"", "damaged"),
    "no stop": (b"}", "damaged"),
}


def make_archive(content: bytes, name: str = "data.pkl") -> bytes:
    """Make an archive as torch does, with a pickle of the caller's in it."""
    source, target = io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.arange(4.0)}, source)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            is_pickle = entry.filename.endswith("data.pkl")
            data = content if is_pickle else old.read(entry)
            new.writestr(entry.filename.replace("data.pkl", name), data)
    return target.getvalue()


@pytest.mark.parametrize("name", GREEDY)
def test_load_tensors_greedy_pickle_is_refused(name, tmp_path, one_line):
    content, reason = GREEDY[name]
    (tmp_path / "greedy.pt").write_bytes(make_archive(b"\x80\x02" + content))
    with pytest.raises(ValueError, match="refused to load") as error:
        load_tensors(tmp_path / "greedy.pt")
    assert reason in one_line(error)


def test_load_tensors_storage_larger_than_its_record_is_refused(tmp_path, one_line):
    path = tmp_path / "greedy.pt"
    save_tensors(torch.ones(10), path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in content if name.endswith("data.pkl"))
    assert b"K\x0a" in content[name]  # ten values ...
    content[name] = content[name].replace(b"K\x0a", b"J\x00\x00\x10\x00")  # a million
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in content.items():
            archive.writestr(member, data)
    with pytest.raises(ValueError, match="damaged") as error:
        load_tensors(path)
    one_line(error)


def make_legacy(content: bytes) -> bytes:
    """Make a file of torch before 1.6, with a pickle of the caller's in it."""
    buffer = io.BytesIO()
    torch.save(None, buffer, _use_new_zipfile_serialization=False)
    before, after = buffer.getvalue().split(b"\x80\x02N.")
    return before + content + after


# torch, unlike Python's zipfile, finds entries whatever their case, and tells a file
# by its beginning.
DISGUISES = {
    "other case": lambda content: make_archive(content, "DATA.PKL"),
    "legacy": make_legacy,
    "archive behind": lambda content: (
        make_legacy(content) + make_archive(b"\x80\x02N.")
    ),
}


@pytest.mark.parametrize("name", DISGUISES)
def test_load_tensors_disguised_greedy_pickle_is_refused(name, tmp_path, one_line):
    path = tmp_path / "disguised.pt"
    path.write_bytes(DISGUISES[name](b"\x80\x02N."))
    assert load_tensors(path) is None  # so that torch does read this pickle
    path.write_bytes(DISGUISES[name](b"\x80\x02" + DEEP_KEY))
    with pytest.raises(ValueError, match="other than tensors") as error:
        load_tensors(path)
    one_line(error)


@pytest.mark.parametrize("entry", ["data.pkl", "version", "data/0"])
def test_load_tensors_zip_bomb_is_refused_before_it_unpacks(
    tmp_path, monkeypatch, entry, one_line
):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"archive/{entry}", bytes(10_000_000))
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(
        torch._C, "PyTorchFileReader", lambda *a: pytest.fail("it was unpacked")
    )
    with pytest.raises(ValueError, match="unpacks to more than its size") as error:
        load_tensors(path)
    one_line(error)


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("PytorchStreamWriter failed"), OSError(errno.ENOSPC, "full")],
)
def test_save_tensors_full_disk_is_an_os_error_and_leaves_the_old_file(
    tmp_path, monkeypatch, failure
):
    path = tmp_path / "file.pt"
    save_tensors(VALUE, path)
    old = path.read_bytes()

    def write_half(value, handle):
        handle.write(b"half")
        raise failure

    monkeypatch.setattr(torch, "save", write_half)
    with pytest.raises(OSError):
        save_tensors(VALUE, path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["file.pt"]


# --- state dicts ---------------------------------------------------------------------


class Tiny(nn.Module):
    """The names that the spellings are about, in a model that costs nothing."""

    name = "Tiny"

    def __init__(self) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(2, 3, 1, bias=False)
        self.bn = nn.BatchNorm2d(3)
        self.last_linear = nn.Linear(3, 2)


def tiny_state(change=None, *, drop=()):
    torch.manual_seed(3)
    state = {name: torch.rand(t.shape) for name, t in Tiny().state_dict().items()}
    state["bn.num_batches_tracked"] = torch.tensor(7)
    state.update(change or {})
    return {name: value for name, value in state.items() if name not in drop}


def spelt_fc(state):
    return {name.replace("last_linear", "fc"): value for name, value in state.items()}


def spelt_module(state):
    return {f"module.{name}": value for name, value in state.items()}


def spelt_flat(state):
    return {**state, "pointwise.weight": state["pointwise.weight"][:, :, 0, 0]}


def spelt_half(state):
    return {name: value.double() for name, value in state.items()}


@pytest.mark.parametrize(
    "spell", [dict, spelt_fc, spelt_module, spelt_flat, spelt_half]
)
def test_load_model_state_each_spelling_gives_the_same_tensors(spell):
    model, state = Tiny(), tiny_state()
    load_model_state(model, spell(state))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_load_model_state_without_batch_counters_is_accepted():
    model = Tiny()
    load_model_state(model, tiny_state(drop=["bn.num_batches_tracked"]))
    assert torch.equal(model.bn.weight, tiny_state()["bn.weight"])


NAN = torch.tensor([1.0, float("nan"), 0.0])
REFUSED = {
    "no dict": ([1, 2], "expected a dict of tensors, got list"),
    "no names": ({1: torch.zeros(1)}, "other keys"),
    "empty": ({}, "7 of 8 tensors missing"),
    "missing": (tiny_state(drop=["bn.bias"]), r"1 of 8 tensors missing \(bn\.bias\)"),
    "unexpected": (
        tiny_state({f"x{i}\n": NAN for i in range(9)}),
        r"9 of 17 tensors unexpected \(x0\\n, x1\\n, x2\\n, \.\.\.\)",
    ),
    "shape": (
        tiny_state({"bn.bias": torch.zeros(4)}),
        r"bn\.bias .*\(4,\), not",
    ),
    "dimensions": (
        tiny_state({"bn.bias": torch.zeros(3, 1)}),
        "bn.bias is no 1-D tensor",
    ),
    "number": (tiny_state({"bn.bias": 3.0}), "bn.bias is no 1-D tensor"),
    "nan": (tiny_state({"bn.bias": NAN}), "bn.bias holds NaN or infinite"),
    "infinite": (tiny_state({"bn.weight": NAN.nan_to_num() / 0}), "bn.weight holds"),
    "too large": (
        tiny_state({"bn.weight": torch.full((3,), 1e300, dtype=torch.float64)}),
        "bn.weight holds NaN or infinite",
    ),
    "twice": (
        tiny_state({"fc.weight": torch.zeros(2, 3)}),
        r"two tensors for last_linear\.weight",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_load_model_state_misfit_is_refused_and_model_unchanged(case, one_line):
    state, match = REFUSED[case]
    model = Tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=match) as error:
        load_model_state(model, state)
    one_line(error)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


class StoppedWriter:
    """Writes a little, then raises."""

    def __init__(self, stop: type[BaseException]) -> None:
        self.stop, self.num_writes = stop, 0

    def write(self, data: bytes) -> int:
        self.num_writes += 1
        if self.num_writes == 3:
            raise self.stop
        return len(data)

    def flush(self) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_save_tensors_stopped_while_writing_stops(stop, tmp_path, monkeypatch):
    save = torch.save
    monkeypatch.setattr(
        torch, "save", lambda value, handle: save(value, StoppedWriter(stop))
    )
    with pytest.raises(stop):
        save_tensors({"a": torch.zeros(10)}, tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []
