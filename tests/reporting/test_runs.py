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
def own_files(tmp_path):
    """A run's files that the test may change."""
    return make_files(tmp_path)


def find(files, **changes):
    """What is known of a training, with other settings or another checkpoint."""
    detector = load_checkpoint(changes.pop("path", files.checkpoint))
    return find_training(detector, replace(files.settings, **changes))


def test_training_is_found_with_its_counts_images_and_history(own_files):
    training = find(own_files)

    assert training.counts["train"] == {"real": 5, "fake": 4}
    assert training.note == (
        "The counts are those that the training recorded. The data folder still holds "
        "files of the same names."
    )
    samples = {
        name: sorted(shorten(file.name, parts=2) for file in files)
        for name, files in training.samples.items()
    }
    assert samples["real"] == [f"real/0{n}.png" for n in range(5)]
    assert samples["fake"] == [f"fake/0{n}.png" for n in range(4)]
    assert training.history.run["run_id"] == RUN_ID
    assert (training.recipe.dataset, training.recipe.epochs) == ("faces", 2)


def test_samples_follow_the_seed(own_files):
    folder = own_files.settings.source.data_root / "faces" / "train" / "real"
    for number in range(10, 40):
        (folder / f"{number}.png").write_bytes((folder / "00.png").read_bytes())

    first, again, other = (
        [file.name for file in find(own_files, seed=seed).samples["real"]]
        for seed in (0, 0, 1)
    )

    assert len(first) == 6
    assert first == again != other


def test_changed_folder_is_noted(own_files):
    folder = own_files.settings.source.data_root / "faces/train/real"
    (folder / "00.png").rename(folder / "99.png")

    assert "files of other names than in the training" in find(own_files).note


@pytest.mark.parametrize("data", [None, [], {"train": 3}, {"x": {}}, {"train": {}}])
def test_counts_are_those_of_the_folder_if_none_were_recorded(own_files, data):
    own_files.history.write_text(json.dumps([make_run(run_id=RUN_ID, data=data)]))

    training = find(own_files)

    assert training.note.startswith("The counts are those of the data folder")
    assert training.counts["test"] == {"real": 2, "fake": 3}


def test_training_without_history_or_data_says_so(own_files, tmp_path):
    own_files.history.unlink()
    source = replace(own_files.settings.source, data_root=tmp_path / "none")

    training = find(own_files, source=source)

    assert training.counts == training.samples == {}
    assert training.note == "How many images there were was not recorded."
    assert training.history.note == f"there is no history {own_files.history}"


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {**FLAGS, "lr": "x; rm -rf /"},
        {**FLAGS, "lr": None},
        {**FLAGS, "epochs": [1]},
        {**FLAGS, "name": "../x"},
        {**FLAGS, "model": "XceptionBased"},
        {**FLAGS, "weights": "imagenet.pth"},
    ],
)
def test_flags_that_the_parser_would_refuse_are_no_recipe(own_files, flags):
    own_files.history.unlink()
    path = make_checkpoint(own_files.checkpoint, dataset="faces", flags=flags)

    assert find(own_files, path=path).recipe is None


def test_training_on_blended_images_shows_real_ones_alone(own_files):
    flags = {**FLAGS, "self_blend": 1.0, "limit": 3}
    path = make_checkpoint(own_files.checkpoint, dataset="faces", flags=flags)
    own_files.history.unlink()

    training = find(own_files, path=path)

    assert list(training.samples) == ["real"]
    assert training.counts["train"] == {"real": 3, "fake": 3}
    assert training.limit == 3


@pytest.mark.parametrize("is_aside", [False, True])
def test_history_is_found_by_the_runs_number(own_files, is_aside):
    path = own_files.checkpoint
    if is_aside:  # by a later run
        path = path.rename(path.with_name("faces_SimpleNet_Adam.12.pt"))
    runs = [make_run(run_id="other"), make_run(4, run_id=RUN_ID), make_run()]
    own_files.history.write_text(json.dumps(runs))

    history = find_history(load_checkpoint(path), None)

    assert len(history.run["val_acc"]) == 4
    assert history.path == own_files.history


def test_history_of_a_checkpoint_without_number_is_the_newest(tmp_path):
    detector = load_checkpoint(make_checkpoint(tmp_path / "model.pt"))
    path = tmp_path / "history.json"
    path.write_text(json.dumps([make_run(2), make_run(5)]))

    assert len(find_history(detector, path).run["val_acc"]) == 5


@pytest.mark.parametrize(
    "text", ["{", '[{"run_id": "x"}]', "[]", json.dumps([make_run(run_id="other")])]
)
def test_useless_history_is_refused_only_if_it_is_asked_for(own_files, text, one_line):
    detector = load_checkpoint(own_files.checkpoint)
    own_files.history.write_text(text)

    history = find_history(detector, None)

    assert history.run is None
    assert str(own_files.history) in history.note
    with pytest.raises(ValueError, match=r"faces_SimpleNet_Adam\.json") as error:
        find_history(detector, own_files.history)
    one_line(error)


@pytest.mark.parametrize("dataset", ["", "../faces"])
def test_checkpoint_that_names_no_dataset_needs_one(own_files, dataset, one_line):
    path = make_checkpoint(own_files.checkpoint, dataset=dataset)

    with pytest.raises(ValueError, match="name the dataset to judge with -d") as error:
        collect_runs([path], own_files.settings)
    one_line(error)

    (run,) = collect_runs([path], replace(own_files.settings, dataset="faces"))
    assert run.training.samples == {}
