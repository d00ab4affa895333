"""Saliency maps against known answers, and the script that draws them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from map_models import Linear, make_images, make_small_checkpoint
from PIL import Image
from script_helpers import make_broken_checkpoint, make_checkpoint, run_script

import saliency_map
from explaining.gradients import compute_attribution_maps
from files.names import FAKE, REAL, name_mask
from hardware import Precision
from saliency_map import compute_gradient_saliency_maps
from utils import load_checkpoint, load_dataset


def test_saliency_of_linear_network_is_largest_weight_over_channels():
    model, labels = Linear(), torch.tensor([FAKE, REAL, FAKE])

    maps = compute_gradient_saliency_maps(make_images(), labels, model)

    weights = model.fc.weight.detach().view(2, 3, 4, 4).abs().amax(dim=1)
    torch.testing.assert_close(maps, weights[labels])


def test_saliency_is_the_largest_magnitude_and_of_the_logit():
    model = Linear(size=1)
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor([[-3.0, 1.0, 2.0], [0.0, 0.5, -0.25]]))
        model.fc.bias.copy_(torch.tensor([0.0, 1000.0]))  # flattens a softmax

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


def test_main_writes_figures_numbers_and_checks_and_says_so(
    own_faces_root, tmp_path, capsys, monkeypatch
):
    checkpoint = make_small_checkpoint(tmp_path / "a.pt", monkeypatch)
    for path in (own_faces_root / "test" / "fake").iterdir():
        mask = name_mask(path)
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.tri(24, dtype=np.uint8) * 255).save(mask)
    figures = tmp_path / "figures"
    flags = make_flags(own_faces_root, checkpoint, figures, "-b2", "--checks", "4")

    saliency_map.main(flags)

    start = f"{figures}/faces_Small"
    pairs_path = f"{start}_saliency_maps_and_images_pairs.json"
    means_path, checks_path = (
        f"{start}_{word}.json" for word in ("mean_saliency_maps", "saliency_checks")
    )
    pairs, means, checks = (
        json.loads(Path(path).read_text())
        for path in (pairs_path, means_path, checks_path)
    )
    names = ("randomisation", "deletion", "insertion", "mask")
    verdicts = ["passed" if checks[name]["passed"] else "failed" for name in names]
    written = [
        f"wrote {path.removesuffix('json')}{ending}"
        for path in (pairs_path, means_path, checks_path)
        for ending in ("png", "json")
    ]
    lines = [
        f"checkpoint: {checkpoint}",
        *written[:4],
        f"wrote {start}_mean_saliency_maps.npy",
        *(
            f"{name}: {verdict}; {checks[name]['sentence']}"
            for name, verdict in zip(names, verdicts, strict=True)
        ),
        *written[4:],
    ]
    assert capsys.readouterr().out.splitlines() == lines
    for line in written[::2]:
        assert Path(line.removeprefix("wrote ")).stat().st_size > 10_000

    for numbers in (pairs, means, checks):
        assert (numbers["dataset"], numbers["split"]) == ("faces", "test")
        assert (numbers["model"], numbers["checkpoint"]) == (
            "Small",
            str(checkpoint),
        )
        assert (numbers["precision"], numbers["class"]) == ("fp32", "true")
        assert (numbers["method"], numbers["threshold"]) == ("gradient", 0.5)
    samples = sorted(pairs["samples"], key=lambda sample: sample["path"])
    assert [s["label"] for s in samples] == [1, 1, 1, 0, 0]  # each once
    assert samples[0]["path"] == str(own_faces_root / "test" / "fake" / "00.png")
    for sample in samples:
        is_fake = sample["fake_score"] >= pairs["threshold"]
        assert sample["verdict"] == is_fake
        assert sample["explained_class"] == sample["label"]
        assert ("worst errors" in sample["why"]) == (sample["label"] != is_fake)
    mean_maps = np.load(f"{start}_mean_saliency_maps.npy")
    assert [means["classes"][name]["n"] for name in ("real", "fake")] == [2, 3]
    assert mean_maps.shape == (2, 64, 64)
    assert means["classes"]["fake"]["map"]["max"] == mean_maps[1].max() > 0
    means_of_real = [s["map"]["mean"] for s in samples[3:]]
    np.testing.assert_allclose(np.mean(means_of_real), mean_maps[0].mean(), rtol=1e-4)
    assert len(checks["images"]) == 4
    assert checks["randomisation"]["layers"] == ["head", "body"]
    assert checks["mask"]["num_images"] == 2


def test_main_draws_another_method_of_one_class_at_random(
    faces_root, checkpoint, tmp_path
):
    more = ["--method", "input-x-gradient", "--choose", "random", "--class", "fake"]

    saliency_map.main(
        make_flags(faces_root, checkpoint, tmp_path, *more, "--seed", "4")
    )

    start = f"{tmp_path}/faces_SimpleNet"
    path = Path(f"{start}_input_x_gradient_maps_and_images_pairs.json")
    numbers = json.loads(path.read_text())
    reasons = [sample["why"] for sample in numbers["samples"]]
    assert reasons == ["real, random: 2 of 2"] * 2 + ["fake, random: 3 of 3"] * 3
    assert {sample["explained_class"] for sample in numbers["samples"]} == {FAKE}
    known = [numbers[name] for name in ("method", "choose", "seed")]
    assert known == ["input-x-gradient", "random", 4]
    mean_maps = np.load(f"{start}_mean_input_x_gradient_maps.npy")
    dataset = load_dataset("faces", "test", data_root=faces_root.parent)
    samples, detector = (
        torch.stack([dataset[0][0], dataset[1][0]]),
        load_checkpoint(checkpoint),
    )
    expected = compute_attribution_maps(
        samples, [FAKE, FAKE], detector, method="input-x-gradient"
    )
    np.testing.assert_allclose(mean_maps[0], expected.mean(dim=0), atol=1e-6)


def test_main_with_image_explains_it_as_predicted_without_a_dataset(
    faces_root, checkpoint, tmp_path, capsys
):
    image = faces_root / "test" / "fake" / "00.png"
    flags = make_flags(Path("none/none"), checkpoint, tmp_path, "--image", str(image))

    saliency_map.main(flags)

    start = f"{tmp_path}/SimpleNet_00_saliency_map"
    lines = [f"checkpoint: {checkpoint}", f"wrote {start}.png", f"wrote {start}.json"]
    assert capsys.readouterr().out.splitlines() == lines
    numbers = json.loads(Path(f"{start}.json").read_text())
    assert (numbers["path"], numbers["label"]) == (str(image), None)
    assert numbers["class"] == "predicted"
    assert numbers["explained_class"] == numbers["verdict"]
    sample = load_dataset("faces", "test", data_root=faces_root.parent)[2][0]
    (expected,) = compute_gradient_saliency_maps(
        sample[None], [numbers["verdict"]], load_checkpoint(checkpoint)
    )
    assert numbers["map"]["max"] == pytest.approx(expected.max().item())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image", "a.png"], "--image goes with -cpp CHECKPOINT"),
        (["-cpp", "a.pt", "--image", "a", "--class", "true"], "--class true needs a"),
        (["-cpp", "a.pt", "--image", "a", "--checks"], "--checks needs a dataset"),
        (["--image", "a.png", "--choose", "random"], "not allowed with"),
        (["--checks", "3"], "expected a whole number from 4"),
        (["--class", "false"], "invalid choice: 'false'"),
        (["--method", "guess"], "invalid choice: 'guess'"),
    ],
)
def test_parse_args_refuses_flags_in_one_line(flags, message, capsys):
    with pytest.raises(SystemExit) as error:
        saliency_map.parse_args(flags)

    assert error.value.code == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
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


def test_main_score_that_is_not_finite_names_the_image(faces_root, tmp_path, one_line):
    checkpoint = make_broken_checkpoint(tmp_path / "broken.pt")
    figures = tmp_path / "figures"

    with pytest.raises(ValueError, match=r"no finite score.*real/00\.png") as error:
        saliency_map.main(make_flags(faces_root, checkpoint, figures))

    one_line(error)
    assert not figures.exists()


def test_script_without_checkpoint_exits_with_one_line_and_status_2(
    faces_root, tmp_path
):
    flags = make_flags(faces_root, tmp_path / "none.pt", tmp_path / "figures")

    result = run_script("saliency_map.py", *flags)

    assert result.returncode == 2
    assert result.stdout == ""
    message = f"saliency_map.py: error: there is no checkpoint {tmp_path}/none.pt"
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
