"""Grad-CAM maps against known answers, and the script that draws them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from map_models import (
    SMALL,
    Normed,
    OneConvolution,
    make_images,
    make_small_checkpoint,
)
from script_helpers import make_checkpoint
from torch import Tensor, nn

import grad_cam_analysis
from explaining.cams import METHODS, build_cam_method, compute_grad_cam_maps
from files.names import FAKE, REAL
from grad_cam_analysis import get_grad_cam_visualization
from judging.detector import as_detector
from models import build_model


def make_image_for_cam() -> Tensor:
    """Two feature maps, [[1, 2], [3, 4]] and [[0, 4], [0, 0]], and an idle channel."""
    first, second = [[1.0, 2.0], [3.0, 4.0]], [[0.0, 4.0], [0.0, 0.0]]
    return torch.tensor([[first, second, [[9.0, 9.0], [9.0, 9.0]]]])


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # alpha = (1, 0) / 4: the first feature map, its range stretched to [0, 1]
        (REAL, [[0, 1 / 3], [2 / 3, 1]]),
        # alpha = (-1, 2) / 4: -1, -2 + 8, -3, -4, of which only the 6 is positive
        (FAKE, [[0.0, 1.0], [0.0, 0.0]]),
    ],
)
def test_grad_cam_of_one_convolution_equals_the_sum_by_hand(
    target, expected, frozen, in_place
):
    model = OneConvolution(in_place=in_place).requires_grad_(not frozen)
    # where the ReLU cuts, its gradient is 0: here it cuts nowhere that matters
    images = make_image_for_cam() + torch.tensor([1e-6, 1e-6, 0]).view(3, 1, 1)

    maps = compute_grad_cam_maps(images, [target], model)

    torch.testing.assert_close(maps, torch.tensor([expected]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_cam_of_one_convolution_equals_the_sum_by_hand(method):
    # Where the head takes the mean, the gradient is alike at all places: HiResCAM's
    # sum is Grad-CAM's. LayerCAM drops negative gradients: only 2 / 4 of the second.
    maps = compute_grad_cam_maps(
        make_image_for_cam() + 1e-6, [FAKE], OneConvolution(), method=method
    )

    only_upper_right = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    torch.testing.assert_close(maps, only_upper_right, rtol=0, atol=1e-4)


def test_grad_cam_with_an_in_place_relu_reads_the_activations_before_it():
    images = make_images(4)  # negative activations, which the ReLU overwrites

    maps = compute_grad_cam_maps(images, [0, 1, 0, 1], OneConvolution(in_place=True))

    expected = compute_grad_cam_maps(images, [0, 1, 0, 1], OneConvolution())
    assert torch.equal(maps, expected)


def test_grad_cam_of_another_layer_is_of_the_images_size_and_empty_if_it_is_dead():
    images = make_images(2, 6)

    maps = compute_grad_cam_maps(images, [0, 1], Normed(), layer="relu")
    dead = compute_grad_cam_maps(-images.abs(), [0, 1], OneConvolution())

    assert maps.shape == (2, 6, 6)
    assert 0 <= maps.min() < maps.max() <= 1
    assert not dead.any()


def test_build_cam_method_names_another_layer_and_refuses_one_that_is_not_there(
    one_line,
):
    detector = as_detector(build_model("SimpleNet"))

    assert build_cam_method(detector).name == "grad_cam"
    other = build_cam_method(detector, method="grad-cam++", layer="conv1")
    assert (other.name, other.title) == ("grad_cam++_conv1", "Grad-CAM++ at conv1")
    with pytest.raises(ValueError, match="conv1, conv2, conv3$") as error:
        build_cam_method(detector, layer="fc1")
    one_line(error)
    xception = as_detector(build_model("XceptionBased", from_scratch=True))
    assert build_cam_method(xception, layer="block12").name == "grad_cam_block12"


def make_model() -> nn.Module:
    model = OneConvolution()
    model.preprocessing = SMALL
    return model


@pytest.fixture
def samples() -> list[tuple[Tensor, int]]:
    images = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.manual_seed(1))
    return list(zip(images.to(torch.uint8), [0, 0, 0, 1, 1, 1], strict=True))


def test_grad_cam_visualization_of_uint8_and_float_datasets_is_the_same(samples):
    floats = [(SMALL.normalise(s[None])[0], label) for s, label in samples]

    first, label = get_grad_cam_visualization(
        samples, make_model(), generator=torch.manual_seed(3)
    )
    again = get_grad_cam_visualization(
        floats, as_detector(make_model()), generator=torch.manual_seed(3)
    )

    assert (first.shape, first.dtype) == ((8, 8, 3), np.uint8)
    visualization, same_label = again
    assert same_label == label == again.label == again.target
    assert np.abs(first.astype(int) - visualization).max() <= 1


def test_grad_cam_visualization_follows_the_seed_and_what_is_asked(samples):
    model = make_model()

    def draw(seed: int) -> list[int]:
        torch.manual_seed(seed)
        drawn = [get_grad_cam_visualization(samples, model) for _ in range(12)]
        return [label for _, label in drawn]

    chosen = {"index": 1, "target_class": FAKE, "layer": "conv3", "method": "layer-cam"}
    explanation = get_grad_cam_visualization(samples, model, **chosen)

    assert draw(5) == draw(5)
    assert set(draw(5)) == {REAL, FAKE}
    assert (explanation.label, explanation.target) == (REAL, FAKE)
    (expected,) = compute_grad_cam_maps(
        samples[1][0][None], [FAKE], model, method="layer-cam"
    ).numpy()
    assert np.array_equal(explanation.maps[0], expected)


def make_flags(checkpoint: Path, figures: Path, *more: str) -> list[str]:
    return ["-cp", str(checkpoint), "--figures-dir", str(figures), *more]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of a network that somebody added: 64 pixels, another layer."""
    return make_small_checkpoint(tmp_path / "a.pt", monkeypatch)


def test_main_draws_a_network_of_another_size_at_its_own_layer(
    faces_root, small, tmp_path, capsys
):
    figures = tmp_path / "figures"
    flags = make_flags(small, figures, "--data-root", str(faces_root.parent), "-b3")

    grad_cam_analysis.main([*flags, "-d", "faces", "--whole-set", "--checks", "4"])

    starts = [
        f"{figures}/faces_Small_{kind}"
        for kind in ("Real_Image_grad_cam", "Fake_Image_grad_cam")
    ]
    names = [f"{start}.{ending}" for start in starts for ending in ("png", "json")]
    mean = f"{figures}/faces_Small_mean_grad_cam_maps"
    names += [f"{mean}.{ending}" for ending in ("png", "json", "npy")]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:8] == [f"checkpoint: {small}", *(f"wrote {name}" for name in names)]
    assert not any(line.startswith("mask:") for line in lines)
    assert len(list(figures.iterdir())) == 9
    for label, (name, start) in enumerate(zip(("real", "fake"), starts, strict=True)):
        numbers = json.loads(Path(f"{start}.json").read_text())
        assert (numbers["method"], numbers["layer"]) == ("grad-cam", "body")
        folders = [Path(s["path"]).parent.name for s in numbers["samples"]]
        assert folders == [name] * (2 + label)
        for sample in numbers["samples"]:
            assert sample["label"] == sample["explained_class"] == label
            assert 0 < sample["fake_score"] < 1
            assert sample["why"].startswith(name)
            assert sample["map"]["max"] in (0, pytest.approx(1, abs=1e-3))
    mean_maps = np.load(f"{mean}.npy")
    assert mean_maps.shape == (2, 64, 64)
    assert 0 <= mean_maps.min() < mean_maps.max() <= 1
    checks = json.loads((figures / "faces_Small_grad_cam_checks.json").read_text())
    assert checks["randomisation"]["layers"] == ["head", "body"]
    assert checks["mask"] is None


def test_main_with_images_draws_each_by_another_method_layer_and_class(
    faces_root, tmp_path
):
    checkpoint = make_checkpoint(tmp_path / "net.pt")
    images = [str(faces_root / "test" / "fake" / f"{n:02}.png") for n in (0, 1)]
    how = ["--class", "real", "--method", "layer-cam", "--layer", "conv2"]

    grad_cam_analysis.main(make_flags(checkpoint, tmp_path, *how, "--image", *images))

    for number, image in enumerate(images):
        start = f"{tmp_path}/SimpleNet_{number:02}_layer_cam_conv2_map"
        assert Path(f"{start}.png").exists()
        numbers = json.loads(Path(f"{start}.json").read_text())
        assert (numbers["path"], numbers["explained_class"]) == (image, REAL)
        assert (numbers["method"], numbers["layer"]) == ("layer-cam", "conv2")


def test_main_with_a_layer_that_is_not_there_writes_nothing(
    faces_root, small, tmp_path
):
    image, figures = faces_root / "test" / "real" / "00.png", tmp_path / "figures"
    flags = make_flags(small, figures, "--image", str(image), "--layer", "conv9")

    with pytest.raises(
        ValueError, match="no layer 'conv9' to explain; choose from bod"
    ):
        grad_cam_analysis.main(flags)

    assert not figures.exists()


def test_parse_args_refuses_the_whole_set_of_pictures(capsys):
    with pytest.raises(SystemExit) as error:
        grad_cam_analysis.parse_args(["-cpp", "a.pt", "--image", "a", "--whole-set"])

    assert error.value.code == 2
    assert "--whole-set needs a dataset" in capsys.readouterr().err
