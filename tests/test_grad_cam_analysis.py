"""Grad-CAM maps against known answers, and the script that draws them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from map_models import Normed, OneConvolution, make_images
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from script_helpers import make_broken_checkpoint, make_checkpoint, run_script
from torch import Tensor, nn

import grad_cam_analysis
from faces_dataset import FAKE, REAL
from grad_cam_analysis import (
    METHODS,
    check_layer,
    compute_grad_cam_maps,
    get_grad_cam_visualization,
)
from loading import Preprocessing
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


def test_grad_cam_with_an_in_place_relu_reads_the_activations_before_it():
    images = make_images(4)  # negative activations, which the ReLU overwrites

    maps = compute_grad_cam_maps(images, [0, 1, 0, 1], OneConvolution(in_place=True))

    expected = compute_grad_cam_maps(images, [0, 1, 0, 1], OneConvolution())
    assert torch.equal(maps, expected)


def test_grad_cam_of_another_layer_is_of_the_images_size():
    maps = compute_grad_cam_maps(make_images(2, 6), [0, 1], Normed(), layer="relu")

    assert maps.shape == (2, 6, 6)
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_every_cam_of_one_convolution_equals_the_sum_by_hand():
    # Where the head takes the mean, the gradient is alike at all places: HiResCAM's
    # sum is Grad-CAM's. LayerCAM drops negative gradients: only 2 / 4 of the second.
    images = make_image_for_cam() + 1e-6
    model = OneConvolution()

    maps = {m: compute_grad_cam_maps(images, [FAKE], model, method=m) for m in METHODS}

    only_upper_right = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    for method in ("grad-cam", "grad-cam++", "hires-cam", "layer-cam"):
        torch.testing.assert_close(maps[method], only_upper_right, rtol=0, atol=1e-4)


def test_eigen_cam_is_the_packages_but_for_the_sign_and_knows_no_class():
    images, model = make_images(3, 6), OneConvolution()

    maps = compute_grad_cam_maps(images, [REAL] * 3, model, method="eigen-cam")

    fake = compute_grad_cam_maps(images, [FAKE] * 3, model, method="eigen-cam")
    assert torch.equal(maps, fake)
    projections = get_2d_projection(images[:, :2].numpy())  # what conv3 hands on
    for values, projection in zip(maps.numpy(), projections, strict=True):
        if projection.max() < -projection.min():
            projection = -projection
        expected = np.maximum(projection, 0) / projection.max()
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_check_layer_names_those_that_there_are(one_line):
    check_layer(build_model("SimpleNet"), "conv1")
    with pytest.raises(ValueError, match="conv1, conv2, conv3$") as error:
        check_layer(build_model("SimpleNet"), "fc1")
    one_line(error)
    check_layer(build_model("XceptionBased", from_scratch=True), "block12")


def test_grad_cam_for_a_class_that_is_not_there_raises():
    with pytest.raises(IndexError):
        compute_grad_cam_maps(make_images(), [0, 5, 0], OneConvolution())


def make_samples(kind: str) -> list[tuple[Tensor, int]]:
    images = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.manual_seed(1))
    images = images.to(torch.uint8)
    if kind == "float":
        images = make_model().preprocessing.normalise(images)
    return list(zip(images, [0, 0, 0, 1, 1, 1], strict=True))


def make_model() -> nn.Module:
    model = OneConvolution()
    model.preprocessing = Preprocessing((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    return model


def test_grad_cam_visualization_of_uint8_and_float_datasets_is_the_same():
    first, label = get_grad_cam_visualization(
        make_samples("uint8"), make_model(), generator=torch.manual_seed(3)
    )

    again = get_grad_cam_visualization(
        make_samples("float"), make_model(), generator=torch.manual_seed(3)
    )

    assert first.shape == (8, 8, 3)
    assert first.dtype == np.uint8
    assert label == again[1]
    assert np.abs(first.astype(int) - again[0]).max() <= 1


def test_grad_cam_visualization_follows_the_seed_and_reaches_both_classes():
    samples, model = make_samples("uint8"), make_model()

    def draw(seed: int) -> list[int]:
        torch.manual_seed(seed)
        return [get_grad_cam_visualization(samples, model)[1] for _ in range(12)]

    assert draw(5) == draw(5)
    assert set(draw(5)) == {REAL, FAKE}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "net.pt")


def make_flags(root: Path, checkpoint: Path, figures: Path, *more: str) -> list[str]:
    flags = ["-d", root.name, "--data-root", str(root.parent), "-cp", str(checkpoint)]
    return [*flags, "--figures-dir", str(figures), "-m", "SimpleNet", *more]


def test_main_writes_a_figure_of_each_class_and_its_numbers(
    faces_root, checkpoint, tmp_path, capsys
):
    grad_cam_analysis.main(make_flags(faces_root, checkpoint, tmp_path))

    names = [
        f"{tmp_path}/faces_SimpleNet_{kind}_Image_grad_cam.{extension}"
        for kind in ("Real", "Fake")
        for extension in ("png", "json")
    ]
    lines = [f"checkpoint: {checkpoint}", *(f"wrote {n}" for n in names)]
    assert capsys.readouterr().out.splitlines() == lines
    assert sorted(map(str, tmp_path.iterdir())) == sorted(names)
    for label, name in enumerate(("real", "fake")):
        numbers = json.loads(Path(names[2 * label + 1]).read_text())
        assert numbers["layer"] == "conv3"
        folders = [Path(s["path"]).parent.name for s in numbers["samples"]]
        assert folders == [name] * (2 + label)
        for sample in numbers["samples"]:
            assert sample["label"] == sample["explained_class"] == label
            assert 0 < sample["fake_score"] < 1
            assert sample["why"].startswith(name)
            assert sample["map"]["max"] == pytest.approx(1, abs=1e-3)


def test_main_with_images_draws_each_and_says_which_class(
    faces_root, checkpoint, tmp_path
):
    images = [str(faces_root / "test" / "fake" / f"{n:02}.png") for n in (0, 1)]
    flags = ["-cp", str(checkpoint), "--figures-dir", str(tmp_path), "--class", "real"]

    grad_cam_analysis.main([*flags, "--image", *images])

    for number, image in enumerate(images):
        start = f"{tmp_path}/SimpleNet_{number:02}_grad_cam_map"
        assert Path(f"{start}.png").exists()
        numbers = json.loads(Path(f"{start}.json").read_text())
        assert numbers["path"] == image
        assert numbers["explained_class"] == REAL
        assert numbers["layer"] == "conv3"


def test_main_with_another_method_and_layer_puts_both_into_the_names(
    faces_root, checkpoint, tmp_path, capsys
):
    how = ["--method", "layer-cam", "--layer", "conv2"]

    grad_cam_analysis.main(
        make_flags(faces_root, checkpoint, tmp_path, *how, "--checks", "4")
    )

    start = f"{tmp_path}/faces_SimpleNet"
    numbers = json.loads(Path(f"{start}_Fake_Image_layer_cam_conv2.json").read_text())
    checks = json.loads(Path(f"{start}_layer_cam_conv2_checks.json").read_text())
    for found in (numbers, checks):
        assert (found["method"], found["layer"]) == ("layer-cam", "conv2")
    assert checks["mask"] is None
    assert "mask:" not in capsys.readouterr().out


def test_main_with_a_layer_that_is_not_there_writes_nothing(
    faces_root, checkpoint, tmp_path
):
    figures = tmp_path / "figures"
    with pytest.raises(ValueError, match="no layer 'conv9' to explain"):
        grad_cam_analysis.main(
            make_flags(faces_root, checkpoint, figures, "--layer", "conv9")
        )
    assert not figures.exists()


def test_main_where_all_maps_are_empty_says_so_under_them(faces_root, tmp_path):
    model = build_model("SimpleNet")
    torch.nn.init.zeros_(model.conv3.weight)
    torch.nn.init.constant_(model.conv3.bias, -1)  # dead: no gradient reaches it
    path = make_checkpoint(tmp_path / "dead.pt", model=model.state_dict())

    grad_cam_analysis.main(make_flags(faces_root, path, tmp_path / "figures"))

    start = tmp_path / "figures" / "faces_SimpleNet_Fake_Image_grad_cam"
    numbers = json.loads(start.with_suffix(".json").read_text())
    assert [sample["map"]["max"] for sample in numbers["samples"]] == [0, 0]
    assert "(passed over, nearly empty maps: 1)" in numbers["samples"][0]["why"]


@pytest.mark.parametrize("flags", [["--whole-set"], ["--class", "true"]])
def test_main_with_image_and_what_needs_a_dataset_exits_with_status_2(flags, capsys):
    with pytest.raises(SystemExit) as error:
        grad_cam_analysis.main(["-cpp", "a.pt", "--image", "a.png", *flags])

    assert error.value.code == 2
    assert "needs a dataset" in capsys.readouterr().err


def test_main_with_whole_set_writes_the_mean_maps_too(faces_root, checkpoint, tmp_path):
    flags = make_flags(faces_root, checkpoint, tmp_path, "--whole-set", "-b", "3")

    grad_cam_analysis.main(flags)

    start = f"{tmp_path}/faces_SimpleNet_mean_grad_cam_maps"
    assert Path(f"{start}.png").exists()
    numbers = json.loads(Path(f"{start}.json").read_text())
    mean_maps = np.load(f"{start}.npy")
    assert [numbers["classes"][name]["n"] for name in ("real", "fake")] == [2, 3]
    assert mean_maps.shape == (2, 256, 256)
    assert 0 <= mean_maps.min() < mean_maps.max() <= 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-cp", "missing.pt"], "there is no checkpoint missing.pt"),
        (["-m", "XceptionBased"], "it is of SimpleNet, not XceptionBased"),
        (["-d", "elsewhere"], "there is no dataset 'elsewhere'"),
        (["--figures-dir", "/dev/null/x"], "cannot write to the folder /dev/null/x"),
    ],
)
def test_main_with_bad_input_says_so_and_writes_nothing(
    flags, message, faces_root, checkpoint, tmp_path
):
    figures = tmp_path / "figures"

    with pytest.raises((ValueError, OSError), match=message):
        grad_cam_analysis.main([*make_flags(faces_root, checkpoint, figures), *flags])

    assert not figures.exists()


def test_script_with_a_damaged_checkpoint_exits_with_one_line_and_status_2(
    faces_root, tmp_path
):
    path = tmp_path / "damaged.pt"
    path.write_bytes(b"no checkpoint")

    result = run_script(
        "grad_cam_analysis.py", *make_flags(faces_root, path, tmp_path / "figures")
    )

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("grad_cam_analysis.py: error: ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_main_score_that_is_not_finite_names_the_image(faces_root, tmp_path, one_line):
    checkpoint = make_broken_checkpoint(tmp_path / "broken.pt")
    figures = tmp_path / "figures"

    with pytest.raises(ValueError, match=r"no finite score.*test/real/0") as error:
        grad_cam_analysis.main(make_flags(faces_root, checkpoint, figures))

    one_line(error)
    assert not figures.exists()
