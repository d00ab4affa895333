"""The names of a run's files, as people have them."""

from pathlib import Path

import pytest

from files.names import (
    default_checkpoint_path,
    default_history_path,
    list_history_paths,
    name_detector,
    name_mask,
    name_run_files,
)


def test_name_run_files_are_those_in_use():
    paths = name_run_files(
        "d", "m", "o", out_dir=Path("out"), checkpoints_dir=Path("cp")
    )
    assert paths.history == Path("out/d_m_o.json")
    assert paths.checkpoint == Path("cp/d_m_o.pt")
    assert paths.snapshot == Path("cp/d_m_o_last.pt")
    assert paths.lock == Path("cp/.d_m_o.lock")


def test_name_run_files_word_comes_last():
    paths = name_run_files("d", "m", "o", name="w")
    assert paths.history == Path("out/d_m_o_w.json")
    assert paths.checkpoint == Path("checkpoints/d_m_o_w.pt")
    assert paths.snapshot == Path("checkpoints/d_m_o_w_last.pt")
    assert paths.lock == Path("checkpoints/.d_m_o_w.lock")


def test_default_paths_are_of_adam():
    assert default_checkpoint_path("d", "m") == Path("checkpoints/d_m_Adam.pt")
    assert default_history_path("d", "m") == Path("out/d_m_Adam.json")


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"name": "photos"}, "SimpleNet_photos"),
        ({"name": "../../x"}, "SimpleNet"),
        ({"name": 3}, "SimpleNet"),
        ({}, "SimpleNet"),
        (None, "SimpleNet"),
    ],
)
def test_name_detector_takes_the_runs_name_if_it_is_a_word(flags, name):
    assert name_detector("SimpleNet", flags) == name


def test_name_mask_is_beside_the_splits_whatever_the_images_ending():
    mask = Path("data/faces/masks/test/a.b.png")
    assert name_mask("data/faces/test/fake/a.b.jpg") == mask
    assert name_mask(Path("data/faces/test/fake/a.b.webp")) == mask


@pytest.mark.parametrize("name", ["run.pt", "run.3.pt"])
def test_histories_are_looked_for_beside_the_checkpoints_folder_first(name):
    assert list_history_paths(f"x/checkpoints/{name}") == [
        Path("x/out/run.json"),
        Path("out/run.json"),
    ]
    assert list_history_paths(f"checkpoints/{name}") == [Path("out/run.json")]
