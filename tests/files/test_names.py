"""What things are called, as users' files have it."""

from pathlib import Path

import pytest

from files.names import (
    RunPaths,
    default_checkpoint_path,
    list_history_paths,
    make_printable,
    name_detector,
    name_mask,
    name_run_files,
    shorten,
    spell_for_files,
)


@pytest.mark.parametrize(("name", "stem"), [(None, "d_m_o"), ("w", "d_m_o_w")])
def test_name_run_files_are_those_in_use(name, stem):
    folders = {"out_dir": "x", "checkpoints_dir": Path("cp")}
    assert name_run_files("d", "m", "o", name=name, **folders) == RunPaths(
        history=Path(f"x/{stem}.json"),
        checkpoint=Path(f"cp/{stem}.pt"),
        snapshot=Path(f"cp/{stem}_last.pt"),
        lock=Path(f"cp/.{stem}.lock"),
        steps=Path(f"x/{stem}_steps.csv"),
        epochs=Path(f"x/{stem}_epochs.csv"),
        events=Path(f"x/{stem}_tensorboard"),
    )


def test_names_of_timm_are_spelt_for_every_system():
    assert spell_for_files("timm:vit_b_16.a1_in1k") == "timm-vit_b_16.a1_in1k"
    assert spell_for_files('a/b\\c*?"<>|') == "a-b-c------"
    files = name_run_files("d", "timm:net.a1_in1k", "Adam")
    assert files.snapshot == Path("checkpoints/d_timm-net.a1_in1k_Adam_last.pt")
    assert default_checkpoint_path("d") == Path("checkpoints/d_SimpleNet_Adam.pt")
    assert default_checkpoint_path("d", "timm:net.a1_in1k") == files.checkpoint
    assert list_history_paths(files.checkpoint) == [files.history]


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"name": "photos"}, "Net_photos"),
        ({"name": "../../x"}, "Net"),
        ({"name": 3}, "Net"),
        ({}, "Net"),
        (None, "Net"),
    ],
)
def test_name_detector_takes_the_runs_name_if_it_is_a_word(flags, name):
    assert name_detector("Net", flags) == name


def test_names_of_pictures():
    mask = Path("data/faces/masks/test/a.b.png")
    assert name_mask("data/faces/test/fake/a.b.jpg") == mask
    assert name_mask(Path("data/faces/test/fake/a.b.webp")) == mask
    assert shorten("data/faces/test/fake/a.jpg") == "test/fake/a.jpg"
    assert shorten(Path("fake/a.jpg"), parts=2) == "fake/a.jpg"


@pytest.mark.parametrize("name", ["run.pt", "run.3.pt"])
def test_histories_are_looked_for_beside_the_checkpoints_folder_first(name):
    beside, here = Path("x/out/run.json"), Path("out/run.json")
    assert list_history_paths(f"x/checkpoints/{name}") == [beside, here]
    assert list_history_paths(f"checkpoints/{name}") == [here]


def test_make_printable_leaves_nothing_that_a_terminal_obeys():
    printable = make_printable("a\x1b[2K\rb\nx \u202ey \u2028z \udcff\t\x9b")
    assert printable.isprintable()
    assert printable.startswith("a\\x1b[2K\\rb\\nx \\u202ey")
    assert make_printable("Gesicht 顔 é.jpg") == "Gesicht 顔 é.jpg"
