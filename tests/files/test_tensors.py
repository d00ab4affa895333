"""Strangers' files are data: none of it is run, and what does not fit is refused."""

import io
import os
import pickle
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from files.tensors import load_model_state, load_tensors, save_tensors

VALUE = {"weights": [torch.arange(6.0).view(2, 3)] * 2, "name": "寿", "no": None}
save_legacy = partial(torch.save, _use_new_zipfile_serialization=False)

save_plain = lambda value, path: path.write_bytes(pickle.dumps(value))  # noqa: E731


# --- files ---------------------------------------------------------------------------


@pytest.mark.parametrize("write", [save_tensors, save_legacy])
def test_load_tensors_saved_value_comes_back(tmp_path, write):
    path = tmp_path / "file.pt"
    with pytest.raises(FileNotFoundError, match=f"{path} does not exist"):
        load_tensors(path)
    write(VALUE, path)
    value = load_tensors(str(path))
    assert [torch.equal(w, VALUE["weights"][0]) for w in value["weights"]] == [True] * 2
    assert {**value, "weights": 0} == {**VALUE, "weights": 0}


class Hostile:
    """Its pickle runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("write", [torch.save, save_legacy, save_plain])
def test_load_tensors_hostile_pickle_is_not_run(write, tmp_path, refused):
    path, victim = tmp_path / "hostile.pt", tmp_path / "created"
    write({"model": torch.ones(2), "x": Hostile(f"touch {victim}")}, path)
    with refused(f"refused to load {path}: "):
        load_tensors(path)
    assert not victim.exists()


def test_load_tensors_anything_but_plain_data_is_refused(tmp_path):
    for value in (Path("a"), np.float64(1), nn.Linear(1, 1), torch.zeros(1).to("meta")):
        save_tensors({"model": {}, "x": value}, tmp_path / "file.pt")
        with pytest.raises(ValueError, match="other than tensors and plain"):
            load_tensors(tmp_path / "file.pt")


@pytest.mark.parametrize("write", [torch.save, save_legacy])
def test_load_tensors_damaged_files_are_refused_or_harmless(tmp_path, write):
    path = tmp_path / "file.pt"
    write(VALUE, path)
    good = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    damaged = [good[: int(len(good) * share)] for share in (0.01, 0.3, 0.7, 0.99)]
    for _ in range(150):
        damaged.append(good.copy())
        damaged[-1][generator.integers(0, len(good), 3)] = generator.integers(0, 256, 3)
    num_refused = 0
    for content in damaged:
        path.write_bytes(content.tobytes())
        try:
            load_tensors(path)
        except ValueError as error:
            assert "\n" not in str(error)
            num_refused += 1
    assert num_refused > 24


# --- pickles that ask for more than there is -----------------------------------------


def encode_int(value: int) -> bytes:
    """Return the opcode that pushes an integer."""
    return b"\x8a\x08" + value.to_bytes(8, "little")


LAUGHS = b"]q\x00" + b"".join(b"]q%c" % (i + 1) + b"h%ca" % i * 10 for i in range(40))
DEEP_KEY = b"}" + b")" + b"\x85" * 1_000_000 + b"K\x01s."
MANY = 1 << 33
GREEDY = {
    "bytearray": (b"cbuiltins\nbytearray\n" + encode_int(MANY) + b"\x85R.", "other"),
    "tensor": (b"ctorch\nTensor\n" + encode_int(MANY) + b"\x85\x81.", "other"),
    "storage": (b"ctorch\nFloatStorage\n" + encode_int(MANY) + b"\x85R.", "damaged"),
    "deep key": (DEEP_KEY, "other"),
    "deep list": (b"]" * 100_000 + b"a" * 99_999 + b".", "too many times"),
    "laughs": (LAUGHS + b".", "too many times"),
    "memo": (b"h\xff.", "damaged"),
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


def make_legacy(content: bytes) -> bytes:
    """Make a file of torch before 1.6, with a pickle of the caller's in it."""
    buffer = io.BytesIO()
    torch.save(None, buffer, _use_new_zipfile_serialization=False)
    before, after = buffer.getvalue().split(b"\x80\x02N.")
    return before + content + after


@pytest.mark.parametrize("name", GREEDY)
def test_load_tensors_greedy_pickle_is_refused(name, tmp_path, refused):
    content, reason = GREEDY[name]
    (tmp_path / "greedy.pt").write_bytes(make_archive(b"\x80\x02" + content))
    with refused(f"refused to load .*{reason}"):
        load_tensors(tmp_path / "greedy.pt")


# Unlike Python's zipfile, torch finds entries whatever their case, and tells a file by
# its beginning.
@pytest.mark.parametrize(
    "disguise",
    [
        lambda content: make_archive(content, "DATA.PKL"),
        lambda content: make_legacy(content) + make_archive(b"\x80\x02N."),
    ],
    ids=["other case", "archive behind"],
)
def test_load_tensors_disguised_greedy_pickle_is_refused(disguise, tmp_path):
    path = tmp_path / "disguised.pt"
    path.write_bytes(disguise(b"\x80\x02N."))
    assert load_tensors(path) is None  # so that torch does read this pickle
    path.write_bytes(disguise(b"\x80\x02" + DEEP_KEY))
    with pytest.raises(ValueError, match="other than tensors"):
        load_tensors(path)


def test_load_tensors_zip_bomb_is_refused_before_it_unpacks(tmp_path, monkeypatch):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(10_000_000))
    monkeypatch.setattr(
        torch._C, "PyTorchFileReader", lambda _: pytest.fail("unpacked")
    )
    with pytest.raises(ValueError, match="unpacks to more than its size"):
        load_tensors(path)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "full"), OSError)],
)
def test_save_tensors_stopped_while_writing_leaves_the_old_file(
    stop, expected, tmp_path, monkeypatch
):
    class Writer(io.BytesIO):
        def write(self, data: bytes) -> int:
            if self.tell() > 100:
                raise stop
            return super().write(data)

    path, save = tmp_path / "file.pt", torch.save
    save_tensors(VALUE, path)
    old = path.read_bytes()
    monkeypatch.setattr(torch, "save", lambda v, handle: save(v, Writer()))
    with pytest.raises(expected):
        save_tensors(VALUE, path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


# --- state dicts ---------------------------------------------------------------------


class Tiny(nn.Module):
    """Names that are spelt in several ways, in a network that costs nothing."""

    def __init__(self, last: str = "last_linear") -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(2, 3, 1, bias=False)
        self.bn = nn.BatchNorm2d(3)
        self.add_module(last, nn.Sequential(nn.Linear(3, 2)))


def make_state(change=None, *, last: str = "last_linear"):
    torch.manual_seed(3)
    state = {name: torch.rand(t.shape) for name, t in Tiny(last).state_dict().items()}
    state["bn.num_batches_tracked"] = torch.tensor(7)
    return {**state, **(change or {})}


def wrap(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


SPELLINGS = {
    "its own": lambda state: state,
    "fc": lambda s: {n.replace("last_linear", "fc"): t for n, t in s.items()},
    "DataParallel": lambda s: wrap(s, "module."),
    "compiled": lambda s: wrap(s, "_orig_mod."),
    "both": lambda s: wrap(s, "module._orig_mod."),
    "2-D": lambda s: {**s, "pointwise.weight": s["pointwise.weight"][:, :, 0, 0]},
    "double": lambda s: {n: t.double() if t.ndim else t for n, t in s.items()},
    "no counter": lambda s: {n: t for n, t in s.items() if t.ndim},
}


@pytest.mark.parametrize("last", ["last_linear", "fc"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_load_model_state_each_spelling_gives_the_same_tensors(spelling, last):
    model, state = Tiny(last), make_state(last=last)
    load_model_state(model, SPELLINGS[spelling](state))
    for name, tensor in model.state_dict().items():
        if spelling != "no counter" or tensor.ndim:
            assert torch.equal(tensor, state[name]), name


NAN = torch.tensor([1.0, float("nan"), 0.0])
bias = lambda value: make_state({"bn.bias": value})  # noqa: E731
REFUSED = {
    "list": ([1, 2], "expected a dict of tensors, got list"),
    "other keys": ({1: torch.zeros(1)}, "other keys"),
    "empty": ({}, "7 of 8 tensors missing"),
    "unexpected": (
        make_state({f"x{i}\n": NAN for i in range(9)}),
        r"9 of 17 tensors unexpected \(x0\\n, x1\\n, x2\\n, \.\.\.\)",
    ),
    "shape": (bias(torch.zeros(4)), r"bn\.bias has shape \(4,\)"),
    "dimensions": (bias(torch.zeros(3, 1)), "bn.bias is not a 1-D tensor"),
    "number": (bias(3.0), "bn.bias is not a 1-D tensor"),
    "integers": (bias(torch.zeros(3).int()), "bn.bias holds torch.int32"),
    "NaN": (bias(NAN), "bn.bias holds NaN or infinite"),
    "too large": (bias(NAN.double().nan_to_num(1e300)), "holds NaN or infinite"),
    "twice": (make_state({"fc.0.bias": NAN}), r"two tensors for last_linear\.0\.bias"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_load_model_state_misfit_is_refused_and_model_unchanged(case, refused):
    state, reason = REFUSED[case]
    model = Tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with refused(reason):
        load_model_state(model, state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
