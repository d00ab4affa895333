"""Tests of what is found out about a run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from reported_runs import RUN_ID, make_files, make_run
from script_helpers import make_checkpoint

from hardware import Precision
from reporting.runs import collect_runs, describe_training, find_history
from utils import load_checkpoint


@pytest.fixture
def own_files(tmp_path):
    """A run's files that the test may change."""
    return make_files(tmp_path)


def test_run_is_judged_on_its_own_dataset(run):
    assert run.analysis.scores.title == "SimpleNet on faces"
    assert run.analysis.numbers["confusion_matrix"] == [[0, 2], [3, 0]]
    assert run.analysis.numbers["intervals"]["num_resamples"] == 20


def test_training_is_described_by_its_record_and_the_folder(run):
    training = run.training

    assert training.counts["val"] == {"real": 5, "fake": 4}
    assert training.note == (
        "The counts are those recorded by the training. "
        "The file names of all splits are those of the training."
    )
    assert [num for _, num in training.samples.values()] == [5, 4]
    assert {path.parent.name for path in training.samples["fake"][0]} == {"fake"}
    assert training.history.run["run_id"] == RUN_ID


def test_samples_are_those_of_the_seed(own_files):
    model = load_checkpoint(own_files.checkpoint)
    folder = own_files.settings.data_root / "faces" / "train" / "real"
    for number in range(10, 40):
        (folder / f"{number}.png").write_bytes((folder / "00.png").read_bytes())

    def choose(seed: int) -> list[Path]:
        settings = replace(own_files.settings, seed=seed)
        return describe_training(model, settings).samples["real"][0]

    assert len(choose(0)) == 6
    assert choose(0) == choose(0) != choose(1)


def test_changed_folder_is_told(own_files):
    (own_files.settings.data_root / "faces/train/real/00.png").rename(
        own_files.settings.data_root / "faces/train/real/99.png"
    )

    training = describe_training(
        load_checkpoint(own_files.checkpoint), own_files.settings
    )

    assert "are not those of the training" in training.note


@pytest.mark.parametrize("data", [None, [], {"train": 3}, {"x": {}}, {"train": {}}])
def test_counts_are_of_the_folder_where_nobody_recorded_them(own_files, data):
    own_files.history.write_text(json.dumps([make_run(run_id=RUN_ID, data=data)]))

    training = describe_training(
        load_checkpoint(own_files.checkpoint), own_files.settings
    )

    assert training.note.startswith("The counts are those of the data folder")
    assert training.counts["test"] == {"real": 2, "fake": 3}


def test_training_without_history_or_data_says_so(own_files, tmp_path):
    own_files.history.unlink()
    settings = replace(own_files.settings, data_root=tmp_path / "none")

    training = describe_training(load_checkpoint(own_files.checkpoint), settings)

    assert training.counts == training.samples == {}
    assert training.note == "Nothing recorded how many images there were."
    assert training.history.note == f"there is no history {own_files.history}"


def test_history_is_found_by_the_runs_number(own_files):
    model = load_checkpoint(own_files.checkpoint)
    runs = [make_run(run_id="other"), make_run(4, run_id=RUN_ID), make_run()]
    own_files.history.write_text(json.dumps(runs))

    history = find_history(model, None)

    assert len(history.run["val_acc"]) == 4
    assert history.path == own_files.history


def test_history_of_a_checkpoint_that_was_set_aside_is_found(own_files):
    aside = own_files.checkpoint.with_name("faces_SimpleNet_Adam.12.pt")
    own_files.checkpoint.rename(aside)

    assert find_history(load_checkpoint(aside), None).path == own_files.history


def test_history_of_a_checkpoint_without_number_is_the_newest(tmp_path):
    model = load_checkpoint(make_checkpoint(tmp_path / "model.pt"))
    path = tmp_path / "history.json"
    path.write_text(json.dumps([make_run(2), make_run(5)]))

    assert len(find_history(model, path).run["val_acc"]) == 5


@pytest.mark.parametrize("text", ["{", '[{"run_id": "x"}]', "[]"])
def test_broken_history_is_passed_over_unless_it_is_asked_for(
    own_files, text, one_line
):
    model = load_checkpoint(own_files.checkpoint)
    own_files.history.write_text(text)

    history = find_history(model, None)

    assert history.run is None
    assert str(own_files.history) in history.note
    with pytest.raises(ValueError, match=r"faces_SimpleNet_Adam\.json") as error:
        find_history(model, own_files.history)
    one_line(error)


def test_history_of_another_run_is_refused(own_files, one_line):
    own_files.history.write_text(json.dumps([make_run(run_id="other")]))

    with pytest.raises(ValueError, match="holds no finished epoch of the run") as error:
        find_history(load_checkpoint(own_files.checkpoint), own_files.history)
    one_line(error)


@pytest.mark.parametrize("dataset", ["", "../faces"])
def test_checkpoint_that_names_no_dataset_needs_one(own_files, dataset, one_line):
    path = make_checkpoint(own_files.checkpoint, dataset=dataset)

    with pytest.raises(ValueError, match="name the dataset to judge with -d") as error:
        collect_runs([path], own_files.settings, Precision())
    one_line(error)

    named = replace(own_files.settings, dataset="faces", num_resamples=5)
    (run,) = collect_runs([path], named, Precision())
    assert run.training.samples == {}
