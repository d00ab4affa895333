"""Fixtures that several test files share: a tiny dataset, a tiny network."""

import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from script_helpers import replace_simple_net
from torch import nn

from judging import pictures
from loading import Preprocessing, image_files
from models import NETWORKS, Network
from plots import pages, save_analysis, style

pytest_plugins = ("browser",)
SPLIT_SIZES = {"train": (5, 4), "val": (3, 2), "test": (2, 3)}  # real, fake

torch.set_num_threads(1)
# It is ignored if the tests are started in the background, and would then be ignored
# in every process that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what was imported."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def coarse_figures() -> Iterator[None]:
    """Let figures have few pixels, and leave their memory for later: it saves time."""
    with pytest.MonkeyPatch.context() as patch:
        coarsen_figures(patch)
        yield


def coarsen_figures(patch: pytest.MonkeyPatch) -> None:
    """Let figures have few pixels from now on."""
    for module, name in ((style, "DPI"), (style, "PLOT_DPI"), (pages, "_PIXELS_DPI")):
        patch.setattr(module, name, 40)
    for module in (pages, save_analysis):
        patch.setattr(module, "gc", SimpleNamespace(collect=int))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets an analysis be saved without its figures."""
    monkeypatch.setattr(save_analysis, "PLOTS", {})


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out of a report what costs most: the plots, not what is said of them."""

    def name(plot: object, alt: str) -> pages.EmbeddedImage:
        return pages.EmbeddedImage("", alt, 9, 9)

    monkeypatch.setattr("reporting.figures.embed_plot", name)


def make_image(seed: int, *, fake: bool, size: int = 24) -> Image.Image:
    """Noise that is reddish where it is real and bluish where it is fake."""
    pixels = np.random.default_rng(seed).integers(0, 90, (size, size, 3))
    pixels[..., 2 if fake else 0] += 150
    return Image.fromarray(pixels.astype(np.uint8))


def make_dataset(root: Path) -> Path:
    """Write ROOT/{train,val,test}/{real,fake}/*.png, nine, five and five images."""
    seed = 0
    for split, sizes in SPLIT_SIZES.items():
        for name, size in zip(("real", "fake"), sizes, strict=True):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(size):
                image = make_image(seed, fake=name == "fake")
                image.save(folder / f"{number:02}.png")
                seed += 1
    return root


@pytest.fixture(scope="session")
def faces_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny dataset whose two classes differ in colour. Read only."""
    return make_dataset(tmp_path_factory.mktemp("data") / "faces")


@pytest.fixture
def own_faces_root(tmp_path: Path) -> Path:
    """A tiny dataset that the test may change."""
    return make_dataset(tmp_path / "data" / "faces")


class TinyNet(nn.Module):
    """A convolution with batch norm and a linear layer: 130 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From images (N, 3, H, W) to logits (N, 2)."""
        features = self.norm(self.conv(images)).relu()  # (N, 4, H', W')
        return self.fc(features.mean(dim=(2, 3)))


TINY = Network(TinyNet, Preprocessing((0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 64), "conv")


@pytest.fixture(scope="module")
def tiny_network() -> Iterator[str]:
    """Lets -m TinyNet train a third network, of 64 pixels; gives its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, TinyNet.__name__, TINY)
        yield TinyNet.__name__


@pytest.fixture(scope="module")
def small_simple_net() -> Iterator[None]:
    """Lets SimpleNet have 24 thousand parameters, and see 64 pixels."""
    with replace_simple_net():
        yield


@pytest.fixture(scope="module")
def nobody_looks() -> Iterator[None]:
    """As without requirements-faces.txt: no face is looked for in pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "can_find_faces", lambda: False)
        yield


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets images be read in two threads on any machine, all but the first."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(image_files, "SLOW", -1.0)


@pytest.fixture
def tiny_net() -> Callable[[], TinyNet]:
    """Builds the same tiny network at each call; leaves the random state alone."""

    def build() -> TinyNet:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return TinyNet()

    return build


@pytest.fixture
def refused() -> Callable[..., AbstractContextManager[pytest.ExceptionInfo]]:
    """Expects an error, by a pattern in its message, which must be one short line."""

    @contextmanager
    def refuse(message: str, kind: Any = ValueError) -> Iterator[pytest.ExceptionInfo]:
        with pytest.raises(kind, match=message) as error:
            yield error
        assert "\n" not in str(error.value)
        assert 0 < len(str(error.value)) < 500

    return refuse
