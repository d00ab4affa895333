"""Weights files: found, downloaded, verified, read."""

import hashlib
import io
import socket
from email.message import Message
from pathlib import Path
from unittest.mock import Mock
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


@pytest.mark.parametrize(
    "spell",
    [
        lambda s: {n.replace("last_linear", "fc"): t for n, t in s.items()},
        lambda s: {n: s[n] for n in s if "last_linear" not in n},
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {**s, "last_linear.weight": torch.zeros(7)}},
    ],
    ids=["fc", "no last layer", "under state_dict", "another last layer"],
)
def test_load_backbone_each_form_loads_all_but_the_last_layer(spell, tmp_path):
    state, model = make_state(), Backbone()
    torch.save(spell(state), tmp_path / "weights.pth")
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
    change, reason, tmp_path, refused
):
    path, model = tmp_path / "weights.pth", Backbone()
    torch.save(change(make_state()), path)
    before = model.conv1.weight.clone()
    with refused(f"{path} does not hold weights of Xception: .*{reason}"):
        load_backbone(model, path)
    assert torch.equal(model.conv1.weight, before)


BODY = b"the weights"
DIGITS = hashlib.sha256(BODY).hexdigest()[:9]
NAME = f"xception-{DIGITS}.pth"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "deep"))
    return tmp_path / "deep" / "checkpoints"


@pytest.fixture
def remote(tmp_path, monkeypatch) -> Path:
    """The file that `URL` leads to."""
    path = tmp_path / "remote" / NAME
    path.parent.mkdir()
    path.write_bytes(BODY)
    monkeypatch.setattr(imagenet_weights, "URL", path.as_uri())
    return path


def test_find_weights_given_file_comes_first_and_must_be_there(tmp_path, refused):
    path = tmp_path / "mine.pth"
    path.write_bytes(b"anything")
    assert find_weights(str(path)) == path
    with refused(r"nope\.pth.*--from-scratch", FileNotFoundError):
        find_weights(tmp_path / "nope.pth")


def test_find_weights_download_is_kept_and_used_again(remote, cache):
    assert find_weights() == cache / NAME
    (cache / NAME).write_bytes(b"damaged")
    assert find_weights() == cache / NAME
    remote.unlink()
    assert find_weights().read_bytes() == BODY
    assert [path.name for path in cache.iterdir()] == [NAME]


def test_find_weights_bad_download_leaves_the_cache_as_it_was(remote, cache, refused):
    remote.write_bytes(BODY[:-1])  # as if the connection were cut
    tried = f"{cache / NAME}: not there; {imagenet_weights.URL}: invalid hash"
    with refused(f"give --weights FILE.*{tried}", OSError):
        find_weights()
    (cache / NAME).write_bytes(b"damaged")
    remote.unlink()
    with pytest.raises(OSError, match=r"SHA-256 starts with \w{12},.*No such file"):
        find_weights()
    assert (cache / NAME).read_bytes() == b"damaged"


def test_find_weights_server_that_is_silent_or_has_none(cache, monkeypatch):
    monkeypatch.setattr(imagenet_weights, "TIMEOUT_S", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{NAME}"
        monkeypatch.setattr(imagenet_weights, "URL", url)
        with pytest.raises(OSError, match="timed out"):
            find_weights()
    assert socket.getdefaulttimeout() is None
    with pytest.raises(OSError, match="refused"):
        find_weights()
    body = io.BytesIO()
    answer = Mock(side_effect=HTTPError(url, 404, "Not Found", Message(), body))
    monkeypatch.setattr(torch.hub, "urlopen", answer)
    with pytest.raises(OSError, match="HTTP Error 404"):
        find_weights()
    assert body.closed
