"""Saliency maps against known answers, and the script that draws them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from map_models import SMALL, Linear, make_images, make_small_checkpoint
from PIL import Image
from script_helpers import make_broken_checkpoint, make_checkpoint

import saliency_map
from explaining.gradients import compute_attribution_maps
from files.classes import FAKE, REAL
from files.names import name_mask
from hardware import Precision
from saliency_map import compute_gradient_saliency_maps
from utils import load_checkpoint, load_dataset

pytestmark = pytest.mark.usefixtures("small_simple_net")


def test_saliency_is_the_largest_magnitude_of_the_logits_gradient_over_channels():
    model = Linear(size=1)
    model.fc.weight.data = torch.tensor([[-3.0, 1.0, 2.0], [0.0, 0.5, -0.25]])
    model.fc.bias.data = torch.tensor([0.0, 1000.0])  # flattens a softmax

    maps = compute_gradient_saliency_maps(make_images(2, size=1), [REAL, FAKE], model)

    assert maps.flatten().tolist() == [3.0, 0.5]


def test_saliency_in_bfloat16_is_close_to_float32():
    model, images, labels = Linear(size=16), make_images(size=16), [0, 1, 1]

    maps = compute_gradient_saliency_maps(
        images, labels, model, precision=Precision("bf16")
    )

    exact = compute_gradient_saliency_maps(images, labels, model)
    assert maps.dtype == torch.float32
    assert not torch.equal(maps, exact)
    torch.testing.assert_close(maps, exact, rtol=2**-7, atol=1e-6)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "net.pt")


def make_flags(root: Path, checkpoint: Path, figures: Path, *more: str) -> list[str]:
    flags = ["-d", root.name, "--data-root", str(root.parent), "-cpp", str(checkpoint)]
    return [*flags, "--figures-dir", str(figures), "--precision", "fp32", *more]


def read(*paths: str) -> list[dict]:
    return [json.loads(Path(path).read_text()) for path in paths]


@pytest.mark.slow
def test_main_writes_figures_numbers_and_checks_and_says_so(
    own_faces_root, tmp_path, capsys, monkeypatch
):
    checkpoint = make_small_checkpoint(tmp_path / "a.pt", monkeypatch)
    for path in (own_faces_root / "test" / "fake").iterdir():
        name_mask(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.tri(24, dtype=np.uint8) * 255).save(name_mask(path))
    start = f"{tmp_path}/figures/faces_Small"
    flags = make_flags(own_faces_root, checkpoint, Path(start).parent, "-b2")

    saliency_map.main([*flags, "--checks", "4"])

    words = "saliency_maps_and_images_pairs", "mean_saliency_maps", "saliency_checks"
    pairs, means, checks = read(*(f"{start}_{word}.json" for word in words))
    written = [
        f"wrote {start}_{w}.{ending}" for w in words for ending in ("png", "json")
    ]
    written.insert(4, f"wrote {start}_mean_saliency_maps.npy")
    verdicts = {True: "passed", False: "failed"}
    for name in ("randomisation", "deletion", "insertion", "mask"):
        found = checks[name]
        line = f"{name}: {verdicts[found['passed']]}; {found['sentence']}"
        written.insert(-2, line)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"checkpoint: {checkpoint}", *written]
    for word in words:
        assert Path(f"{start}_{word}.png").stat().st_size > 10_000

    details = ["faces", "test", "Small", str(checkpoint), "fp32", 0.5, "true"]
    for numbers in (pairs, means, checks):
        assert list(numbers.values())[:8] == [*details, "gradient"]
    samples = sorted(pairs["samples"], key=lambda sample: sample["path"])
    assert [s["label"] for s in samples] == [1, 1, 1, 0, 0]  # each once
    assert samples[0]["path"] == "test/fake/00.png"
    for sample in samples:
        assert sample["verdict"] == (sample["fake_score"] >= 0.5)
        assert sample["explained_class"] == sample["label"]
        is_wrong = sample["verdict"] != sample["label"]
        assert ("worst errors" in sample["why"]) == is_wrong
    mean_maps = np.load(f"{start}_mean_saliency_maps.npy")
    assert mean_maps.shape == (2, 64, 64)
    for label, (name, num) in enumerate((("real", 2), ("fake", 3))):
        found, of_class = means["classes"][name], mean_maps[label]
        assert (found["n"], found["map"]["max"]) == (num, of_class.max())
        means_of_class = [s["map"]["mean"] for s in samples if s["label"] == label]
        assert np.mean(means_of_class) == pytest.approx(of_class.mean(), rel=1e-4)
    assert len(checks["images"]) == 4
    assert checks["mask"]["num_images"] == 2


@pytest.mark.slow
def test_main_draws_another_method_of_one_class_at_random(
    faces_root, checkpoint, tmp_path
):
    method = "input-x-gradient"
    more = ["--method", method, "--choose", "random", "--class", "fake", "--seed", "4"]

    saliency_map.main(make_flags(faces_root, checkpoint, tmp_path, *more))

    start = f"{tmp_path}/faces_SimpleNet"
    (numbers,) = read(f"{start}_input_x_gradient_maps_and_images_pairs.json")
    reasons = [sample["why"] for sample in numbers["samples"]]
    assert reasons == ["real, random: 2 of 2"] * 2 + ["fake, random: 3 of 3"] * 3
    assert {sample["explained_class"] for sample in numbers["samples"]} == {FAKE}
    known = [numbers[name] for name in ("method", "choose", "seed")]
    assert known == [method, "random", 4]
    mean_maps = np.load(f"{start}_mean_input_x_gradient_maps.npy")
    detector = load_checkpoint(checkpoint)
    options = {"data_root": faces_root.parent, "preprocessing": detector.preprocessing}
    dataset = load_dataset("faces", "test", **options)
    samples = torch.stack([dataset[0][0], dataset[1][0]])
    expected = compute_attribution_maps(samples, [FAKE] * 2, detector, method=method)
    np.testing.assert_allclose(mean_maps[0], expected.mean(dim=0), atol=1e-6)


def test_main_with_images_explains_them_as_predicted_without_a_dataset(
    faces_root, tmp_path, capsys, monkeypatch
):
    checkpoint = make_small_checkpoint(tmp_path / "a.pt", monkeypatch)
    images = [str(faces_root / "test" / "fake" / f"{n:02}.png") for n in (0, 1)]
    flags = make_flags(Path("none/none"), checkpoint, tmp_path, "--image", *images)

    saliency_map.main(flags)

    starts = [f"{tmp_path}/Small_{n:02}_saliency_map" for n in (0, 1)]
    written = [
        f"wrote {start}.{ending}" for start in starts for ending in ("png", "json")
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"checkpoint: {checkpoint}", *written]
    dataset = load_dataset(
        "faces", "test", data_root=faces_root.parent, preprocessing=SMALL
    )
    for index, numbers in enumerate(read(*(f"{start}.json" for start in starts))):
        assert (numbers["path"], numbers["label"]) == (images[index], None)
        assert numbers["class"] == "predicted"
        assert numbers["explained_class"] == numbers["verdict"]
        sample, _ = dataset[2 + index]
        (expected,) = compute_gradient_saliency_maps(
            sample[None], [numbers["verdict"]], load_checkpoint(checkpoint)
        )
        assert numbers["map"]["max"] == pytest.approx(expected.max().item())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-m", "XceptionBased"], "it is of SimpleNet, not XceptionBased"),
        (["--figures-dir", "/dev/null/x"], "cannot write to the folder /dev/null/x"),
        (["--image", "missing.jpg"], "cannot read the image missing.jpg"),
        (["-cpp", "broken"], r"5 of 5 images no finite score.*real/00\.png"),
    ],
)
def test_main_with_bad_input_says_so_and_writes_nothing(
    flags, message, faces_root, checkpoint, tmp_path, refused
):
    figures = tmp_path / "figures"
    if "broken" in flags:
        flags = ["-cpp", str(make_broken_checkpoint(tmp_path / "a.pt"))]

    with refused(message, (ValueError, OSError)):
        saliency_map.main([*make_flags(faces_root, checkpoint, figures), *flags])

    assert not figures.exists()
