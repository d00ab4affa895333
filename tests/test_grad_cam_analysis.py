"""Tests of the script that draws Grad-CAM maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from script_helpers import make_checkpoint, run_script

import grad_cam_analysis


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "net.pt")


def make_flags(root: Path, checkpoint: Path, figures: Path, *more: str) -> list[str]:
    flags = ["-d", root.name, "--data-root", str(root.parent), "-cp", str(checkpoint)]
    return [*flags, "--figures-dir", str(figures), "-m", "SimpleNet", *more]


def test_script_offers_the_functions_of_explain():
    function = grad_cam_analysis.get_grad_cam_visualization

    assert function is grad_cam_analysis.get_grad_cam_visualization
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = grad_cam_analysis.nothing_of_this_name


def test_choose_one_of_each_class_is_random_and_follows_the_seed():
    labels = np.repeat([0, 1], [20, 10])

    choices = [grad_cam_analysis.choose_one_of_each_class(labels, s) for s in range(9)]

    assert all(real < 20 <= fake < 30 for real, fake in choices)
    assert len({tuple(choice) for choice in choices}) > 5
    assert choices[3] == grad_cam_analysis.choose_one_of_each_class(labels, 3)


def test_main_writes_a_figure_of_each_class_and_its_numbers(
    faces_root, checkpoint, tmp_path, capsys
):
    grad_cam_analysis.main(make_flags(faces_root, checkpoint, tmp_path))

    names = [
        f"{tmp_path}/faces_SimpleNet_{kind}_Image_grad_cam.{extension}"
        for kind in ("Real", "Fake")
        for extension in ("png", "json")
    ]
    assert capsys.readouterr().out.split("\n") == [*(f"wrote {n}" for n in names), ""]
    assert sorted(map(str, tmp_path.iterdir())) == sorted(names)
    for label, name in enumerate(("real", "fake")):
        numbers = json.loads(Path(names[2 * label + 1]).read_text())
        assert numbers["label"] == label
        assert Path(numbers["path"]).parent.name == name
        assert 0 < numbers["fake_score"] < 1
        assert numbers["layer"] == "conv3"
        assert numbers["map"]["max"] == pytest.approx(1, abs=1e-3)


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
        (["-m", "XceptionBased"], "is a checkpoint of SimpleNet, not XceptionBased"),
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
