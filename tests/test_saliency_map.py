"""Tests of the script that draws saliency maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from script_helpers import make_checkpoint, run_script

import saliency_map


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "net.pt")


def make_flags(root: Path, checkpoint: Path, figures: Path, *more: str) -> list[str]:
    flags = ["-d", root.name, "--data-root", str(root.parent), "-cpp", str(checkpoint)]
    return [*flags, "--figures-dir", str(figures), "-m", "SimpleNet", *more]


def test_script_offers_the_functions_of_explain():
    function = saliency_map.compute_gradient_saliency_maps

    assert function is saliency_map.compute_gradient_saliency_maps
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = saliency_map.nothing_of_this_name


@pytest.mark.parametrize(
    ("num_real", "num_fake", "expected"),
    [(100, 50, (18, 18)), (100, 3, (33, 3)), (4, 100, (4, 32)), (2, 3, (2, 3))],
)
def test_choose_indices_takes_both_classes_as_far_as_there_are_enough(
    num_real, num_fake, expected
):
    labels = np.repeat([0, 1], [num_real, num_fake])

    indices = saliency_map.choose_indices(labels, seed=4)

    assert indices == sorted(set(indices))
    assert tuple(np.bincount(labels[indices], minlength=2)) == expected


def test_choose_indices_follows_the_seed():
    labels = np.repeat([0, 1], [200, 100])

    first = saliency_map.choose_indices(labels, seed=0)

    assert first == saliency_map.choose_indices(labels, seed=0)
    assert first != saliency_map.choose_indices(labels, seed=1)


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
    assert capsys.readouterr().out.split("\n") == [*(f"wrote {n}" for n in names), ""]
    assert sorted(map(str, tmp_path.iterdir())) == sorted(names)
    pairs, means = (json.loads(Path(names[i]).read_text()) for i in (1, 3))
    mean_maps = np.load(names[4])
    assert [s["label"] for s in pairs["samples"]] == [0, 0, 1, 1, 1]
    assert pairs["samples"][2]["path"] == str(faces_root / "test" / "fake" / "00.png")
    assert pairs["precision"] == "fp32"
    assert [means["classes"][name]["n"] for name in ("real", "fake")] == [2, 3]
    assert mean_maps.shape == (2, 256, 256)
    assert means["classes"]["fake"]["map"]["max"] == mean_maps[1].max() > 0
    highest = [s["map"]["mean"] for s in pairs["samples"]]
    np.testing.assert_allclose(np.mean(highest[:2]), mean_maps[0].mean(), rtol=1e-4)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-cpp", "missing.pt"], "there is no checkpoint missing.pt"),
        (["-m", "XceptionBased"], "is a checkpoint of SimpleNet, not XceptionBased"),
        (["--data-root", "missing"], "there is no dataset 'faces' under missing"),
        (["--figures-dir", "/dev/null/x"], "cannot write to the folder /dev/null/x"),
        (["--device", "abacus"], "no device is called 'abacus'"),
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
