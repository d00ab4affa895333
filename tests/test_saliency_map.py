"""Saliency maps against known answers, and the script that draws them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from map_models import Linear, Normed, OneConvolution, make_images
from PIL import Image
from script_helpers import make_broken_checkpoint, make_checkpoint, run_script

import saliency_map
from explaining.methods import METHODS
from faces_dataset import FAKE, REAL
from files.names import name_mask
from hardware import Precision
from loading import Preprocessing
from saliency_map import compute_gradient_saliency_maps, compute_mean_saliency_maps
from utils import load_checkpoint, load_dataset


def test_saliency_of_linear_model_is_largest_weight_over_channels():
    model, labels = Linear(), torch.tensor([FAKE, REAL, FAKE])

    maps = compute_gradient_saliency_maps(make_images(), labels, model)

    weights = model.fc.weight.detach().view(2, 3, 4, 4).abs().amax(dim=1)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    torch.testing.assert_close(maps, weights[labels])


def test_saliency_takes_the_largest_magnitude_not_the_largest_value():
    model = Linear(size=1)
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor([[-3.0, 1.0, 2.0], [0.0, 0.5, -0.25]]))

    maps = compute_gradient_saliency_maps(make_images(2, size=1), [REAL, FAKE], model)

    assert maps.flatten().tolist() == [3.0, 0.5]


def test_saliency_uses_the_logit_which_a_confident_softmax_would_flatten():
    model = Linear(size=1)
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
        model.fc.bias.copy_(torch.tensor([0.0, 1000.0]))

    (saliency,) = compute_gradient_saliency_maps(make_images(1, size=1), [FAKE], model)

    assert saliency.item() == 2.0


def test_saliency_in_bfloat16_is_close_to_float32():
    model, images, labels = Linear(size=16), make_images(size=16), [0, 1, 1]

    maps = compute_gradient_saliency_maps(
        images, labels, model, precision=Precision("bf16")
    )

    exact = compute_gradient_saliency_maps(images, labels, model)
    assert maps.dtype == torch.float32
    assert not torch.equal(maps, exact)
    torch.testing.assert_close(maps, exact, rtol=2**-7, atol=1e-6)


def test_saliency_of_uint8_samples_equals_that_of_normalised_ones():
    model = OneConvolution()
    model.preprocessing = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.5, 1.0))
    samples = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)

    maps = compute_gradient_saliency_maps(samples, [1, 0], model)

    images = model.preprocessing.normalise(samples)
    assert torch.equal(maps, compute_gradient_saliency_maps(images, [1, 0], model))


def test_saliency_of_uint8_samples_without_preprocessing_raises():
    with pytest.raises(ValueError, match="preprocessing"):
        compute_gradient_saliency_maps(
            torch.zeros(1, 3, 4, 4, dtype=torch.uint8), [0], Linear()
        )


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_mean_saliency_maps_are_the_means_of_each_class(batch_size):
    model, images, labels = Normed(), make_images(5), torch.tensor([0, 0, 1, 0, 1])
    batches = list(zip(images.split(batch_size), labels.split(batch_size), strict=True))

    mean_maps = compute_mean_saliency_maps(batches, model)

    maps = compute_gradient_saliency_maps(images, labels, model)
    for label in (REAL, FAKE):
        expected = maps[labels == label].mean(dim=0)
        torch.testing.assert_close(torch.from_numpy(mean_maps[label]), expected)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "net.pt")


def make_flags(root: Path, checkpoint: Path, figures: Path, *more: str) -> list[str]:
    flags = ["-d", root.name, "--data-root", str(root.parent), "-cpp", str(checkpoint)]
    return [*flags, "--figures-dir", str(figures), "-m", "SimpleNet", *more]


def test_main_writes_figures_and_the_numbers_beside_them(
    faces_root, checkpoint, tmp_path, capsys
):
    flags = make_flags(faces_root, checkpoint, tmp_path, "--precision", "fp32", "-b2")

    saliency_map.main(flags)

    start = str(tmp_path / "faces_SimpleNet")
    names = [
        f"{start}_saliency_maps_and_images_pairs.png",
        f"{start}_saliency_maps_and_images_pairs.json",
        f"{start}_mean_saliency_maps.png",
        f"{start}_mean_saliency_maps.json",
        f"{start}_mean_saliency_maps.npy",
    ]
    lines = [f"checkpoint: {checkpoint}", *(f"wrote {n}" for n in names)]
    assert capsys.readouterr().out.splitlines() == lines
    assert sorted(map(str, tmp_path.iterdir())) == sorted(names)
    pairs, means = (json.loads(Path(names[i]).read_text()) for i in (1, 3))
    mean_maps = np.load(names[4])
    samples = sorted(pairs["samples"], key=lambda sample: sample["path"])
    assert [s["label"] for s in samples] == [1, 1, 1, 0, 0]  # each once
    assert samples[0]["path"] == str(faces_root / "test" / "fake" / "00.png")
    for sample in samples:
        is_fake = sample["fake_score"] >= pairs["threshold"]
        assert sample["verdict"] == is_fake
        assert ("worst errors" in sample["why"]) == (sample["label"] != is_fake)
    assert pairs["precision"] == "fp32"
    assert pairs["class"] == "true"
    assert [means["classes"][name]["n"] for name in ("real", "fake")] == [2, 3]
    assert mean_maps.shape == (2, 256, 256)
    assert means["classes"]["fake"]["map"]["max"] == mean_maps[1].max() > 0
    means_of_real = [s["map"]["mean"] for s in samples[3:]]
    np.testing.assert_allclose(np.mean(means_of_real), mean_maps[0].mean(), rtol=1e-4)


def test_main_chooses_at_random_where_asked_and_explains_one_class(
    faces_root, checkpoint, tmp_path
):
    more = "--choose", "random", "--class", "fake", "--seed", "4", "--precision", "fp32"

    saliency_map.main(make_flags(faces_root, checkpoint, tmp_path, *more))

    start = tmp_path / "faces_SimpleNet_saliency_maps_and_images_pairs"
    numbers = json.loads(start.with_suffix(".json").read_text())
    reasons = [sample["why"] for sample in numbers["samples"]]
    assert reasons == ["real, random: 2 of 2"] * 2 + ["fake, random: 3 of 3"] * 3
    assert {sample["explained_class"] for sample in numbers["samples"]} == {FAKE}
    assert (numbers["choose"], numbers["seed"]) == ("random", 4)
    mean_maps = np.load(tmp_path / "faces_SimpleNet_mean_saliency_maps.npy")
    means_of_real = [sample["map"]["mean"] for sample in numbers["samples"][:2]]
    np.testing.assert_allclose(np.mean(means_of_real), mean_maps[0].mean(), rtol=1e-4)


def test_main_with_image_explains_it_without_a_dataset(
    faces_root, checkpoint, tmp_path, capsys
):
    image = faces_root / "test" / "fake" / "00.png"
    flags = ["-cpp", str(checkpoint), "--figures-dir", str(tmp_path)]
    flags += ["--precision", "fp32"]

    saliency_map.main([*flags, "--data-root", "none", "--image", str(image)])

    start = f"{tmp_path}/SimpleNet_00_saliency_map"
    lines = [f"checkpoint: {checkpoint}", f"wrote {start}.png", f"wrote {start}.json"]
    assert capsys.readouterr().out.splitlines() == lines
    numbers = json.loads(Path(f"{start}.json").read_text())
    assert numbers["path"] == str(image)
    assert numbers["label"] is None
    assert numbers["explained_class"] == numbers["verdict"]
    assert numbers["class"] == "predicted"
    model = load_checkpoint(checkpoint)
    sample = load_dataset("faces", "test", data_root=faces_root.parent)[2][0]
    (expected,) = compute_gradient_saliency_maps(
        sample[None], [numbers["verdict"]], model
    )
    assert numbers["map"]["max"] == pytest.approx(expected.max().item())


@pytest.mark.parametrize(
    ("method", "name"),
    [("input-x-gradient", "input_x_gradient"), ("smoothgrad", "smoothgrad")],
)
def test_main_with_another_method_puts_it_into_the_names(
    method, name, faces_root, checkpoint, tmp_path
):
    flags = make_flags(faces_root, checkpoint, tmp_path, "--limit", "1")

    saliency_map.main([*flags, "--method", method, "--precision", "fp32"])

    start = f"{tmp_path}/faces_SimpleNet"
    pairs = json.loads(Path(f"{start}_{name}_maps_and_images_pairs.json").read_text())
    assert Path(f"{start}_mean_{name}_maps.npy").exists()
    assert pairs["method"] == method
    sample = pairs["samples"][0]
    (image,) = [
        image
        for image, label in load_dataset("faces", "test", data_root=faces_root.parent)
        if label == sample["label"]
    ][:1]
    (expected,) = METHODS[method](
        image[None], [sample["label"]], load_checkpoint(checkpoint)
    )
    assert sample["map"]["max"] == pytest.approx(expected.max().item(), rel=1e-4)


def test_main_with_checks_says_and_saves_what_it_found(
    own_faces_root, checkpoint, tmp_path, capsys
):
    for path in (own_faces_root / "test" / "fake").iterdir():
        mask = name_mask(path)
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (24, 24)).save(mask)
    Image.fromarray(np.tri(24, dtype=np.uint8) * 255).save(mask)
    figures = tmp_path / "figures"

    saliency_map.main(make_flags(own_faces_root, checkpoint, figures, "--checks", "4"))

    lines = capsys.readouterr().out.splitlines()
    start = f"{figures}/faces_SimpleNet_saliency_checks"
    assert lines[-2:] == [f"wrote {start}.png", f"wrote {start}.json"]
    numbers = json.loads(Path(f"{start}.json").read_text())
    assert len(numbers["images"]) == 4
    assert numbers["randomisation"]["layers"][0] == "fc3"
    assert numbers["randomisation"]["layers"][-1] == "conv1"
    assert numbers["mask"]["num_images"] == 2
    names = ("randomisation", "deletion", "insertion", "mask")
    for name, line in zip(names, lines[-6:-2], strict=True):
        verdict = "passed" if numbers[name]["passed"] else "failed"
        assert line == f"{name}: {verdict}; {numbers[name]['sentence']}"
    assert Path(f"{start}.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image", "a.png", "--checks"], "--checks needs a dataset"),
        (["--checks", "3"], "expected a whole number from 4, got '3'"),
        (["--method", "guess"], "invalid choice: 'guess'"),
    ],
)
def test_parse_args_of_checks_and_methods_refuses_in_one_line(flags, message, capsys):
    with pytest.raises(SystemExit) as error:
        saliency_map.parse_args(["-cpp", "a.pt", *flags])

    assert error.value.code == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-cpp", "missing.pt"], "there is no checkpoint missing.pt"),
        (["-m", "XceptionBased"], "it is of SimpleNet, not XceptionBased"),
        (["--data-root", "missing"], "there is no dataset 'faces' under missing"),
        (["--figures-dir", "/dev/null/x"], "cannot write to the folder /dev/null/x"),
        (["--device", "abacus"], "no device is called 'abacus'"),
        (["--image", "missing.jpg"], "cannot read the image missing.jpg"),
    ],
)
def test_main_with_bad_input_says_so_and_writes_nothing(
    flags, message, faces_root, checkpoint, tmp_path
):
    figures = tmp_path / "figures"

    with pytest.raises((ValueError, OSError), match=message):
        saliency_map.main([*make_flags(faces_root, checkpoint, figures), *flags])

    assert not figures.exists()


def test_script_without_checkpoint_exits_with_one_line_and_status_2(
    faces_root, tmp_path
):
    flags = make_flags(faces_root, tmp_path / "none.pt", tmp_path / "figures")

    result = run_script("saliency_map.py", *flags)

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"saliency_map.py: error: there is no checkpoint {tmp_path}/none.pt; "
        "train_main.py writes one, checkpoints/DATASET_MODEL_OPTIMIZER.pt\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_main_score_that_is_not_finite_names_the_image(faces_root, tmp_path, one_line):
    checkpoint = make_broken_checkpoint(tmp_path / "broken.pt")
    figures = tmp_path / "figures"

    with pytest.raises(ValueError, match=r"no finite score.*real/00\.png") as error:
        saliency_map.main(make_flags(faces_root, checkpoint, figures))

    one_line(error)
    assert not figures.exists()
