"""Tests of what is known of a run: its training, its history, the images."""

import json
from dataclasses import replace

import pytest
from reported_runs import FLAGS, RUN_ID, make_files, make_run
from script_helpers import make_checkpoint

from files.names import shorten
from reporting.runs import collect_runs, find_history, find_training
from utils import load_checkpoint


@pytest.fixture
def own(tmp_path):
    """A run's files that the test may change."""
    return make_files(tmp_path)


def find(files, **changes):
    """What is known of a training, with other settings."""
    detector = load_checkpoint(files.checkpoint)
    return find_training(detector, replace(files.settings, **changes))


def rewrite(files, **entries):
    """Put other entries into the checkpoint, and forget the history."""
    make_checkpoint(files.checkpoint, **{"dataset": "faces", "flags": FLAGS, **entries})
    files.history.unlink()


def test_training_is_found_with_its_counts_images_and_history(files):
    training = find(files)

    assert training.counts["train"] == {"real": 5, "fake": 4}
    assert training.note == (
        "The counts are those that the training recorded. The data folder still holds "
        "files of the same names."
    )
    names = [
        shorten(f.name, parts=2) for some in training.samples.values() for f in some
    ]
    assert names == [
        f"{c}/0{n}.png" for c, m in (("real", 5), ("fake", 4)) for n in range(m)
    ]
    assert training.history.run["run_id"] == RUN_ID
    assert (training.recipe.dataset, training.recipe.epochs) == ("faces", 2)


def test_samples_follow_the_seed_and_new_files_are_noted(own):
    folder = own.settings.source.data_root / "faces" / "train" / "real"
    for number in range(10, 40):
        (folder / f"{number}.png").write_bytes((folder / "00.png").read_bytes())

    trainings = [find(own, seed=seed) for seed in (0, 0, 1)]

    first, again, other = (
        [file.name for file in training.samples["real"]] for training in trainings
    )
    assert len(first) == 6
    assert first == again != other
    assert "files of other names than in the training" in trainings[0].note


@pytest.mark.parametrize("data", [None, [], {"train": 3}, {"x": {}}, {"train": {}}])
def test_counts_are_those_of_the_folder_if_none_were_recorded(own, data):
    own.history.write_text(json.dumps([make_run(run_id=RUN_ID, data=data)]))

    training = find(own)

    assert training.note.startswith("The counts are those of the data folder")
    assert training.counts["test"] == {"real": 2, "fake": 3}


def test_training_without_history_or_data_says_so(own, tmp_path):
    own.history.unlink()

    training = find(own, source=replace(own.settings.source, data_root=tmp_path / "no"))

    assert training.counts == training.samples == {}
    assert training.note == "How many images there were was not recorded."
    assert training.history.note == f"there is no history {own.history}"


@pytest.mark.parametrize(
    "change",
    [
        *({"lr": "x; rm -rf /"}, {"lr": None}, {"epochs": [1]}, {"name": "../x"}),
        *({"model": "XceptionBased"}, {"weights": "imagenet.pth"}),
    ],
)
def test_flags_that_the_parser_would_refuse_are_no_recipe(own, change):
    rewrite(own, flags={**FLAGS, **change})

    assert find(own).recipe is None


def test_training_on_blended_images_shows_real_ones_alone(own):
    rewrite(own, flags={**FLAGS, "self_blend": 1.0, "limit": 3})

    training = find(own)

    assert list(training.samples) == ["real"]
    assert training.counts["train"] == {"real": 3, "fake": 3}
    assert training.limit == 3


@pytest.mark.parametrize(("number", "expected"), [(RUN_ID, 4), ("", 5)])
def test_history_is_found_by_the_runs_number_or_is_the_newest(own, number, expected):
    aside = own.checkpoint.with_name("faces_SimpleNet_Adam.12.pt")  # by a later run
    make_checkpoint(aside, run_id=number)
    runs = [make_run(run_id="other"), make_run(4, run_id=RUN_ID), make_run(5)]
    own.history.write_text(json.dumps(runs))

    history = find_history(load_checkpoint(aside), None)

    assert len(history.run["val_acc"]) == expected
    assert history.path == own.history


@pytest.mark.parametrize(
    "text", ["{", '[{"run_id": "x"}]', "[]", json.dumps([make_run(run_id="other")])]
)
def test_useless_history_is_refused_only_if_it_is_asked_for(own, text, one_line):
    detector = load_checkpoint(own.checkpoint)
    own.history.write_text(text)

    history = find_history(detector, None)

    assert history.run == {}
    assert str(own.history) in history.note
    with pytest.raises(ValueError, match=r"faces_SimpleNet_Adam\.json") as error:
        find_history(detector, own.history)
    one_line(error)


@pytest.mark.parametrize("dataset", ["", "../faces"])
def test_checkpoint_that_names_no_dataset_needs_one(own, dataset, one_line):
    rewrite(own, dataset=dataset, flags={})

    with pytest.raises(ValueError, match="name the dataset to judge with -d") as error:
        collect_runs([own.checkpoint], own.settings)
    one_line(error)

    training = find(own, dataset="faces")
    assert (training.samples, training.recipe) == ({}, None)
