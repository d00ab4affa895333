"""Graphs of all kinds of network, before and after they are exported."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporting.checking import draw_pictures, load_samples
from exporting.description import describe_export
from exporting.formats import FORMATS, load_program, save_onnx
from exporting.graph import Graph
from hardware import Precision
from judging.detector import Detector
from judging.exported import load_exported
from judging.guarding.guard import FEATURES
from judging.pictures import InputSpec
from loading import Preprocessing
from models import get_network
from records.checkpoint import CheckpointRecord
from tuning import Tuning, tune

ALIKE = {  # blocks like the one before them, which would make graphs slow
    "timm:test_vit": [("blocks", str(number)) for number in range(1, 5)],
    "XceptionBased": [("", f"block{number}") for number in range(5, 12)],
}


@pytest.fixture
def build(tiny_network):
    """Builds a detector with random weights: a probe of it reads several layers."""

    def build_detector(kind: str) -> Detector:
        torch.manual_seed(0)
        spec = get_network(tiny_network if kind == "probe" else kind)
        network, layer = spec.build(), spec.layer
        for parent, name in ALIKE.get(kind, ()):
            setattr(network.get_submodule(parent), name, nn.Identity())
        if kind == "probe":
            tuning = Tuning("head", features=("conv", "norm"), hidden=3)
            network, layer = tune(network, spec, tuning), "backbone.norm"
            nn.init.normal_(network.head.first.weight)
        side = 64 if kind == "XceptionBased" else spec.preprocessing.size
        preprocessing = replace(spec.preprocessing, mean=(0.1, 0.4, 0.9), size=side)
        network = network.eval().to(memory_format=torch.channels_last)
        record = CheckpointRecord(kind, temperature=0.7, logit_bias=0.3)
        where = Path(__file__)  # stands for its checkpoint
        return Detector(network, preprocessing, record, where, layer, spec.layout)

    return build_detector


@pytest.mark.slow
@pytest.mark.parametrize("kind", ("probe", *ALIKE))
def test_graph_and_onnx_say_what_the_network_says(kind, build, tmp_path):
    detector, path = build(kind), tmp_path / "detector.onnx"
    side = detector.preprocessing.size
    samples = np.random.default_rng(1).integers(0, 256, (3, side, side, 3), np.uint8)
    scored, numbers = detector.examine(samples, Precision())
    expected = scored.fake_scores, scored.differences, numbers[FEATURES]

    with torch.no_grad():
        outputs = Graph(detector)(torch.from_numpy(samples))
    save_onnx(detector, describe_export(detector, 18), path)
    exported = load_exported(path)
    again, same = exported.examine(samples[:2])

    for found, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-3, atol=1e-4)
    found = again.fake_scores, again.differences, same[FEATURES]
    for part, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, wanted[:2], rtol=1e-3, atol=1e-4)
    assert np.ptp(numbers[FEATURES], axis=0).max() > 1e-3
    assert exported.title == detector.title


@pytest.mark.slow
def test_a_program_says_what_the_network_says(build, tmp_path):
    detector, path = build("probe"), tmp_path / "detector.pt2"
    FORMATS["pt2"](detector, describe_export(detector, 18), path)
    (samples,) = load_samples(draw_pictures(64, 4), InputSpec.of(detector))
    program = load_program(path)
    wanted = detector.score_samples(samples, Precision()).fake_scores
    for found in (
        program.score_samples(samples).fake_scores,
        program.compute_fake_scores(samples),
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.ptp(wanted) > 1e-3


class Odd(nn.Module):
    """Computes what ONNX lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 8, stride=8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From images (N, 3, H, W) to logits (N, 2)."""
        means = self.conv(images).mean(dim=(2, 3))
        return torch.special.modified_bessel_i0(means)


@pytest.mark.slow
def test_save_onnx_says_what_to_do_where_onnx_lacks_something(tmp_path, refused):
    preprocessing = Preprocessing((0.0,) * 3, (1.0,) * 3, 64)
    detector = Detector(Odd().eval(), preprocessing, path=Path(__file__), layer="conv")
    with refused("cannot be written in ONNX.*pt2"):
        save_onnx(detector, describe_export(detector, 18), tmp_path / "odd.onnx")
    assert not list(tmp_path.iterdir())
