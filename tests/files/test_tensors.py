"""Files of tensors are data: whatever is in them, none of it is run."""

from __future__ import annotations

import errno
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from files.tensors import load_tensors, save_tensors

VALUE = {
    "weights": [torch.arange(6.0).view(2, 3)],
    "epoch": 3,
    "name": "寿",
    "no": None,
}


def test_load_tensors_saved_value_comes_back(tmp_path):
    save_tensors(VALUE, tmp_path / "a" / "file.pt")
    result = load_tensors(tmp_path / "a" / "file.pt")
    assert torch.equal(result.pop("weights")[0], VALUE["weights"][0])
    assert result == {key: VALUE[key] for key in ("epoch", "name", "no")}


def test_load_tensors_format_before_torch_1_6_is_read(tmp_path):
    path = tmp_path / "old.pt"
    torch.save(VALUE, path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_tensors(path)["weights"][0], VALUE["weights"][0])


@pytest.mark.parametrize(
    ("name", "reason"), [("none.pt", "does not exist"), ("", "is a folder")]
)
def test_load_tensors_missing_file_is_named(tmp_path, name, reason, one_line):
    with pytest.raises(FileNotFoundError, match=reason) as error:
        load_tensors(tmp_path / name)
    assert str(tmp_path / name) in one_line(error)


class Bait:
    """Its pickle makes a file when it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_load_tensors_hostile_pickle_is_not_run(tmp_path, zipped, one_line):
    bait = tmp_path / "caught"
    path = tmp_path / "hostile.pt"
    torch.save({"model": Bait(bait)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="other than tensors and plain") as error:
        load_tensors(path)
    assert "hostile.pt" in one_line(error)
    assert not bait.exists()


def test_load_tensors_bare_hostile_pickle_is_not_run(tmp_path):
    bait = tmp_path / "caught"
    (tmp_path / "hostile.pt").write_bytes(pickle.dumps(Bait(bait)))
    with pytest.raises(ValueError, match="refused to load"):
        load_tensors(tmp_path / "hostile.pt")
    assert not bait.exists()


@pytest.mark.parametrize(
    "value", [{"args": Path("a")}, {"acc": np.float64(1)}, torch.nn.Linear(1, 1)]
)
def test_load_tensors_anything_but_data_is_refused(tmp_path, value, one_line):
    save_tensors(value, tmp_path / "file.pt")
    with pytest.raises(ValueError, match="other than tensors and plain") as error:
        load_tensors(tmp_path / "file.pt")
    one_line(error)


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """The bytes of a good file."""
    save_tensors(VALUE, tmp_path / "good.pt")
    return (tmp_path / "good.pt").read_bytes()


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
def test_load_tensors_truncated_file_is_refused(tmp_path, content, share, one_line):
    (tmp_path / "bad.pt").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="refused to load") as error:
        load_tensors(tmp_path / "bad.pt")
    one_line(error)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore")  # damaged bytes may well look like odd data
def test_load_tensors_flipped_bytes_are_refused_or_harmless(tmp_path, zipped):
    path = tmp_path / "file.pt"
    torch.save(VALUE, path, _use_new_zipfile_serialization=zipped)
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


def test_load_tensors_zip_bomb_is_refused_before_it_unpacks(
    tmp_path, content, monkeypatch, one_line
):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("it was unpacked"))
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

    monkeypatch.setattr(tensor_files.torch, "save", write_half)
    with pytest.raises(OSError):
        save_tensors(VALUE, path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["file.pt"]
