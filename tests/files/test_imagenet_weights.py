"""Weights files: found, downloaded, verified, read."""

import hashlib
import io
import socket
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError

import pytest
import torch
from torch import nn

from files import imagenet_weights
from files.imagenet_weights import find_weights, load_backbone


class Backbone(nn.Module):
    """A backbone and a last layer, at a thousandth of Xception's size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.last_linear = nn.Linear(4, 10)


def make_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    own = Backbone().state_dict()
    return {name: torch.rand(t.shape) for name, t in own.items() if t.ndim}


FORMS = {
    "plain": lambda s: s,
    "fc": lambda s: {n.replace("last_linear", "fc"): t for n, t in s.items()},
    "no last layer": lambda s: {n: s[n] for n in s if "last_linear" not in n},
    "under state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "under model": lambda s: {"model": s},
    "another last layer": lambda s: {**s, "last_linear.weight": torch.zeros(7)},
}


@pytest.mark.parametrize("form", FORMS)
def test_load_backbone_each_form_loads_all_but_the_last_layer(form, tmp_path):
    state, model = make_state(), Backbone()
    torch.save(FORMS[form](state), tmp_path / "weights.pth")
    last = model.last_linear.weight.clone()
    load_backbone(model, tmp_path / "weights.pth")
    loaded = model.state_dict()
    for name in (name for name in state if "last_linear" not in name):
        assert torch.equal(loaded[name], state[name]), name
    assert torch.equal(model.last_linear.weight, last)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: {"layer1.weight": torch.zeros(1)}, r"missing .*unexpected \(layer1"),
        (lambda s: {**s, "bn1.bias": torch.zeros(9)}, "bn1.bias has shape"),
        (lambda s: [1, 2, 3], "expected a dict of tensors, got list"),
    ],
)
def test_load_backbone_misfit_is_refused_and_model_unchanged(
    change, reason, tmp_path, one_line
):
    path, model = tmp_path / "weights.pth", Backbone()
    torch.save(change(make_state()), path)
    before = model.conv1.weight.clone()
    with pytest.raises(
        ValueError, match=f"not hold weights of Xception: .*{reason}"
    ) as e:
        load_backbone(model, path)
    assert str(path) in one_line(e)
    assert torch.equal(model.conv1.weight, before)


BODY = b"the weights"
DIGITS = hashlib.sha256(BODY).hexdigest()[:9]
NAME = f"xception-{DIGITS}.pth"


@pytest.fixture
def remote(tmp_path, monkeypatch) -> Path:
    """The file that `URL` leads to."""
    path = tmp_path / "remote" / NAME
    path.parent.mkdir()
    path.write_bytes(BODY)
    monkeypatch.setattr(imagenet_weights, "URL", path.as_uri())
    monkeypatch.setattr(imagenet_weights, "SHA256_DIGITS", DIGITS)
    return path


def test_find_weights_given_file_comes_first_and_must_be_there(tmp_path, one_line):
    path = tmp_path / "mine.pth"
    path.write_bytes(b"anything")
    assert find_weights(str(path), cache_dir=tmp_path) == path
    with pytest.raises(FileNotFoundError, match=r"nope\.pth.*--from-scratch") as error:
        find_weights(tmp_path / "nope.pth")
    one_line(error)


def test_find_weights_download_is_kept_and_used_again(remote, tmp_path, monkeypatch):
    cache = tmp_path / "deep" / "checkpoints"
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(cache.parent))
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(b"damaged")
    assert find_weights() == cache / NAME
    remote.unlink()
    assert find_weights(cache_dir=cache).read_bytes() == BODY
    assert [path.name for path in cache.iterdir()] == [NAME]


def test_find_weights_bad_download_leaves_the_cache_as_it_was(
    remote, tmp_path, one_line
):
    cached, hashes = tmp_path / NAME, r"invalid hash value .expected \"" + DIGITS
    for body, reason in ((BODY[:-1], hashes), (None, "No such file")):
        remote.write_bytes(body) if body else remote.unlink()
        for kept, found in ((None, "not there"), (b"x", "SHA-256 starts with 2d71164")):
            if kept:
                cached.write_bytes(kept)
            tried = f"tried {cached}: {found}.*; {imagenet_weights.URL}: .*{reason}"
            with pytest.raises(
                OSError, match=f"found: give --weights.*{tried}"
            ) as error:
                find_weights(cache_dir=tmp_path)
            one_line(error)
            assert not kept or cached.read_bytes() == kept
            cached.unlink(missing_ok=True)


def test_find_weights_server_that_is_silent_or_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet_weights, "TIMEOUT_S", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{NAME}"
        monkeypatch.setattr(imagenet_weights, "URL", url)
        with pytest.raises(OSError, match="timed out"):
            find_weights(cache_dir=tmp_path)
    assert socket.getdefaulttimeout() is None
    with pytest.raises(OSError, match="refused"):
        find_weights(cache_dir=tmp_path)
    body = io.BytesIO()
    missing = HTTPError(url, 404, "Not Found", Message(), body)

    def fail(*_: object, **__: object) -> None:
        raise missing

    monkeypatch.setattr(torch.hub, "urlopen", fail)
    with pytest.raises(OSError, match="HTTP Error 404"):
        find_weights(cache_dir=tmp_path)
    assert body.closed


def test_url_is_https_and_names_the_digits():
    assert imagenet_weights.URL.startswith("https://")
    assert imagenet_weights.URL.endswith("/xception-43020ad28.pth")
