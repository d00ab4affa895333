"""Weights files: found, downloaded from a loopback server, verified, read."""

import hashlib
import io
import os
import pickle
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn

from files import imagenet_weights
from files.imagenet_weights import find_weights, load_backbone


class Backbone(nn.Module):
    """Xception's kinds of tensors at a thousandth of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.pointwise = nn.Conv2d(4, 5, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(5)
        self.last_linear = nn.Linear(5, 10)


def original_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return {name: torch.rand(t.shape) for name, t in Backbone().state_dict().items()}


def without(state, *parts):
    return {k: v for k, v in state.items() if not any(part in k for part in parts)}


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# Reading

FORMS = {
    "last_linear": lambda s: s,
    "fc": lambda s: {k.replace("last_linear", "fc"): v for k, v in s.items()},
    "no final layer": lambda s: without(s, "last_linear"),
    "module prefix": lambda s: {f"module.{k}": v for k, v in s.items()},
    "2-D pointwise": lambda s: {
        k: v[:, :, 0, 0] if "pointwise" in k else v for k, v in s.items()
    },
    "no counters": lambda s: without(s, "num_batches_tracked"),
    "under state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "under model": lambda s: {"model": s},
    "foreign final layer": lambda s: {**s, "last_linear.weight": torch.zeros(7)},
}


@pytest.mark.parametrize("form", list(FORMS))
def test_load_backbone_each_form_loads_all_but_the_final_layer(form, tmp_path):
    state, path = original_state(), tmp_path / "weights.pth"
    path.write_bytes(saved(FORMS[form](state)))
    model = Backbone()
    final = model.last_linear.weight.clone()
    sentence = load_backbone(model, path)
    number = 6 if form == "no counters" else 7
    ending = "absent" if form == "no final layer" else "left out"
    assert sentence == (
        f"ImageNet weights: {number} tensors from {path}, final layer {ending}"
    )
    loaded = model.state_dict()
    for name in without(state, "last_linear", "num_batches_tracked"):
        assert torch.equal(loaded[name], state[name]), name
    assert torch.equal(model.last_linear.weight, final)


MISFITS = {
    "a tensor missing": (lambda s: without(s, "conv1"), r"1 of 7 .*missing \(conv1"),
    "another network": (lambda s: {"layer1.weight": torch.zeros(1)}, "missing"),
    "a tensor too many": (lambda s: {**s, "bn9.weight": torch.zeros(1)}, "unexpected"),
    "a wrong shape": (
        lambda s: {**s, "bn1.bias": torch.zeros(9)},
        "bn1.bias has shape",
    ),
    "a NaN": (lambda s: {**s, "bn1.bias": torch.full((5,), torch.nan)}, "NaN"),
    "a list": (lambda s: [1, 2, 3], "expected a dict of tensors, got list"),
}


@pytest.mark.parametrize("case", list(MISFITS))
def test_load_backbone_misfit_is_refused_and_model_unchanged(case, tmp_path):
    change, match = MISFITS[case]
    path = tmp_path / "weights.pth"
    path.write_bytes(saved(change(original_state())))
    model = Backbone()
    before = model.conv1.weight.clone()
    with pytest.raises(ValueError, match=match) as error:
        load_backbone(model, path)
    assert str(path) in one_line(error)
    assert torch.equal(model.conv1.weight, before)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["empty", "html", "truncated", "pickle", "evil"])
def test_load_backbone_damaged_or_hostile_file_is_refused(kind, tmp_path):
    trap = tmp_path / "trap"
    content = {
        "empty": b"",
        "html": b"<html>404 not found</html>",
        "truncated": saved(original_state())[:-900],
        "pickle": pickle.dumps(Evil(trap)),
        "evil": saved({"conv1.weight": Evil(trap)}),
    }[kind]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="refused to load") as error:
        load_backbone(Backbone(), path)
    assert str(path) in one_line(error)
    assert not trap.exists()


def test_load_backbone_file_gone_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        load_backbone(Backbone(), tmp_path / "gone.pth")


# Finding and downloading


class Server:
    """A loopback server: what it sends is set by the test, and it counts requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.claimed_size: int | None = None
        self.silent = threading.Event()
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                body = outer.files.get(self.path.lstrip("/"))
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(outer.claimed_size or len(body)))
                self.end_headers()
                self.wfile.write(body)
                if outer.silent.is_set():
                    outer.closing.wait(10)

            def log_message(self, *arguments: object) -> None:
                pass

        self.closing = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Short polling: shutdown waits for the next poll.
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


BODY = saved(original_state())
DIGITS = hashlib.sha256(BODY).hexdigest()[:9]
NAME = f"xception-{DIGITS}.pth"


@pytest.fixture
def server(monkeypatch):
    """Serve the weights at `URL`, which leads here."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    server.files[NAME] = BODY
    url = f"http://127.0.0.1:{server.http.server_port}/{NAME}"
    monkeypatch.setattr(imagenet_weights, "URL", url)
    monkeypatch.setattr(imagenet_weights, "SHA256_DIGITS", DIGITS)
    yield server
    server.close()


@pytest.mark.parametrize("kind", [str, Path])
def test_find_weights_explicit_file_comes_before_everything(tmp_path, kind):
    path = tmp_path / "mine.pth"
    path.write_bytes(b"anything")
    assert find_weights(kind(path), cache_dir=tmp_path) == path


def test_find_weights_explicit_file_missing_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nope\.pth.*--from-scratch") as error:
        find_weights(tmp_path / "nope.pth")
    one_line(error)


def test_find_weights_good_download_is_kept_and_used_again(server, tmp_path):
    cache = tmp_path / "deep" / "cache"
    first = find_weights(cache_dir=cache)
    second = find_weights(cache_dir=cache)
    assert first == second == cache / NAME
    assert first.read_bytes() == BODY
    assert len(server.requests) == 1
    assert names_in(cache) == [NAME]
    assert load_backbone(Backbone(), first).startswith("ImageNet weights: 7 tensors")


def test_find_weights_default_cache_is_the_hub_folder(server, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = tmp_path / "checkpoints" / NAME
    path.parent.mkdir()
    path.write_bytes(BODY)
    assert find_weights() == path
    assert server.requests == []


def test_find_weights_damaged_cache_is_downloaded_again(server, tmp_path):
    (tmp_path / NAME).write_bytes(BODY[:100])
    assert find_weights(cache_dir=tmp_path).read_bytes() == BODY


def test_find_weights_damaged_cache_and_no_server_is_named_not_used(server, tmp_path):
    cached = tmp_path / NAME
    cached.write_bytes(b"damaged")
    server.files.clear()
    with pytest.raises(OSError, match="--weights FILE") as error:
        find_weights(cache_dir=tmp_path)
    message = one_line(error)
    assert f"{cached}: SHA-256 starts with" in message
    assert "404" in message
    assert cached.read_bytes() == b"damaged"


FAILURES = {
    "wrong hash": (BODY[:-1] + b"?", None, f'hash value (expected "{DIGITS}"'),
    "404": (None, None, "HTTP Error 404"),
    "cut": (BODY[:500], len(BODY), f'hash value (expected "{DIGITS}"'),
}


@pytest.mark.parametrize("case", list(FAILURES))
def test_find_weights_failed_download_leaves_nothing(case, server, tmp_path):
    body, server.claimed_size, reason = FAILURES[case]
    server.files = {} if body is None else {NAME: body}
    with pytest.raises(OSError, match=r"no ImageNet weights: give --weights") as error:
        find_weights(cache_dir=tmp_path)
    message = one_line(error)
    assert f"{tmp_path / NAME}: not there; {imagenet_weights.URL}: " in message
    assert reason in message
    assert names_in(tmp_path) == []


def test_find_weights_silent_server_times_out(server, tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet_weights, "TIMEOUT_S", 0.2)
    server.files[NAME] = BODY[:500]
    server.claimed_size = len(BODY)
    server.silent.set()
    with pytest.raises(OSError, match="timed out"):
        find_weights(cache_dir=tmp_path)
    assert names_in(tmp_path) == []
    assert socket.getdefaulttimeout() is None


def test_find_weights_nobody_listens_is_refused_in_a_line(server, tmp_path):
    server.close()
    with pytest.raises(OSError, match="refused") as error:
        find_weights(cache_dir=tmp_path)
    one_line(error)


def test_url_is_https_and_names_the_digits():
    assert imagenet_weights.URL.startswith("https://")
    assert imagenet_weights.URL.endswith("/xception-43020ad28.pth")
    assert imagenet_weights.SHA256_DIGITS == "43020ad28"
