"""Checkpoints of a model hub: found in its cache, pinned, checked, never run."""

import hashlib
import json
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from files.hub import find_checkpoint, get_revision, is_fetched

OLD, NEW = "1" * 40, "2" * 40
CONTENTS = {OLD: b"old weights", NEW: b"new weights"}


def make_record(content: bytes, **entries: object) -> str:
    weights = {"file": "net.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
    return json.dumps({"weights": {**weights, **entries}})


def write(cache: Path, revision: str, **files: bytes | str) -> None:
    folder = cache / "models--me--net" / "snapshots" / revision
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("_", ".")).write_bytes(data)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The hub's cache on a machine without a network, with two revisions of one."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for revision, content in CONTENTS.items():
        files = {"net_safetensors": content, "record_json": make_record(content)}
        write(tmp_path, revision, **files)
    refs = tmp_path / "models--me--net" / "refs"
    refs.mkdir()
    (refs / "main").write_text(NEW)
    (refs / "v1").write_text(OLD)
    return tmp_path


def test_find_checkpoint_takes_the_newest_or_what_is_pinned(cache):
    own = Path("a/b.pt")
    assert find_checkpoint("a/b.pt") == find_checkpoint(own) == own
    for suffix, revision in (("", NEW), ("@main", NEW), ("@v1", OLD), (f"@{OLD}", OLD)):
        path = find_checkpoint(f"hf:me/net{suffix}")
        assert (path.name, get_revision(path)) == ("net.safetensors", revision)
        assert path.read_bytes() == CONTENTS[revision]
        assert is_fetched(path)
    assert not is_fetched(Path("checkpoints/net.pt"))


@pytest.mark.parametrize(
    ("name", "record", "expected"),
    [
        ("hf:net", None, "hf:net is not hf:OWNER/NAME, with @REVISION if need be"),
        ("hf:me/net@", None, "hf:me/net@ is not hf:OWNER/NAME"),
        ("hf:me/other", None, "cannot fetch hf:me/other: "),
        ("hf:me/net@v2", None, "cannot fetch hf:me/net@v2: "),
        ("hf:me/net", make_record(b"others"), "the SHA-256 of net.safetensors starts"),
        ("hf:me/net", make_record(b"", file="../../x.safetensors"), "not a detector"),
        ("hf:me/net", make_record(b"", file="net.pt"), "not a detector that"),
        ("hf:me/net", make_record(b"", file=7), "not a detector that publish.py"),
        ("hf:me/net", make_record(b"", sha256="7"), "does not say which file holds"),
        ("hf:me/net", '{"weights": "net"}', "does not say which file holds"),
        ("hf:me/net", "[" * 100_000, "does not say which file holds"),
        ("hf:me/net", b"\xff", "does not say which file holds"),
    ],
)
def test_find_checkpoint_refuses_in_a_line(cache, name, record, expected, refused):
    if record is not None:
        write(cache, NEW, record_json=record)
    with refused(expected):
        find_checkpoint(name)


def test_find_checkpoint_tells_what_is_missing_from_what_cannot_be_reached(
    monkeypatch, refused
):
    asked, reasons = [], []

    def fail(name: str, file: str, *, revision: str | None) -> str:
        asked.append((name, file, revision))
        raise reasons[-1]

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    missing = errors.RemoteEntryNotFoundError.__new__(errors.RemoteEntryNotFoundError)
    for reason, expected in (
        (missing, "hf:me/net@v1 has no record.json: it is not a detector"),
        (errors.HTTPError("it broke\noff"), "cannot fetch hf:me/net@v1: it broke off"),
        (OSError("no room"), "cannot fetch hf:me/net@v1: no room"),
    ):
        reasons.append(reason)
        with refused(expected):
            find_checkpoint("hf:me/net@v1")
    assert asked == [("me/net", "record.json", "v1")] * 3


def test_find_checkpoint_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match="pip install -r requirements-hub.txt"):
        find_checkpoint("hf:me/net")
