"""Tests of what is known of a run: its training, its history, the images."""

import json
import shutil
from dataclasses import replace

import pytest
from reported_runs import FLAGS, RUN_ID, Files, make_run
from script_helpers import make_checkpoint

from files.names import shorten
from loading.sources.datasets import Source
from reporting.runs import collect_runs, find_history, find_training
from utils import load_checkpoint


@pytest.fixture(scope="module")
def detector(files):
    return load_checkpoint(files.checkpoint)


@pytest.fixture
def own(files, tmp_path):
    """The run's data and history, which the test may change; no checkpoint."""
    for name in ("data", "out"):
        shutil.copytree(files.history.parent.parent / name, tmp_path / name)
    return Files(
        tmp_path / "checkpoints" / files.checkpoint.name,
        tmp_path / "out" / files.history.name,
        replace(files.settings, source=Source(tmp_path / "data")),
    )


@pytest.fixture
def find(own, detector):
    """Finds what is known of the training, with other settings or another record."""

    def find(settings=(), **entries):
        changed = replace(detector.record, **entries)
        moved = replace(detector, path=own.checkpoint, record=changed)
        return find_training(moved, replace(own.settings, **dict(settings)))

    return find


def test_training_is_found_with_its_counts_images_and_history(find):
    training = find()

    assert training.counts["train"] == {"real": 5, "fake": 4}
    assert training.note == (
        "The counts are those that the training recorded. The data folder still holds "
        "files of the same names."
    )
    for name, number in (("real", 5), ("fake", 4)):
        names = [shorten(file.name, parts=2) for file in training.samples[name]]
        assert names == [f"{name}/0{n}.png" for n in range(number)]
    assert training.history.run["run_id"] == RUN_ID
    assert (training.recipe.dataset, training.recipe.epochs) == ("faces", 2)


def test_samples_follow_the_seed_and_new_files_are_noted(own, find):
    folder = own.settings.source.data_root / "faces" / "train" / "real"
    for number in range(10, 40):
        (folder / f"{number}.png").write_bytes((folder / "00.png").read_bytes())

    trainings = [find({"seed": seed}) for seed in (0, 0, 1)]

    first, again, other = (
        [file.name for file in training.samples["real"]] for training in trainings
    )
    assert len(first) == 6
    assert first == again != other
    assert "files of other names than in the training" in trainings[0].note


@pytest.mark.parametrize("data", [None, [], {"train": 3}, {"x": {}}, {"train": {}}])
def test_counts_are_those_of_the_folder_if_none_were_recorded(own, find, data):
    own.history.write_text(json.dumps([make_run(run_id=RUN_ID, data=data)]))

    training = find()

    assert training.note.startswith("The counts are those of the data folder")
    assert training.counts["test"] == {"real": 2, "fake": 3}


DIVERGED = make_run(run_id="earlier", val_loss=[0.5, float("nan"), float("inf")])


@pytest.mark.parametrize(
    ("runs", "note"),
    [
        ([DIVERGED, make_run(run_id=RUN_ID)], ""),
        ([{**DIVERGED, "run_id": RUN_ID}], "no list of numbers under 'val_loss'"),
        ([DIVERGED, {"run_id": RUN_ID}], "no list of numbers under 'train_loss'"),
        ([DIVERGED, make_run(0, run_id=RUN_ID)], "holds no finished epoch"),
    ],
)
def test_history_with_a_diverged_run_still_gives_the_others(runs, note, own, find):
    own.history.write_text(json.dumps(runs))
    history = find({"history_path": None}).history
    assert note in history.note
    assert history.run == ({} if note else runs[-1])


@pytest.mark.parametrize("dataset", ["other", "", "../data/faces"])
def test_training_without_history_or_data_says_so(own, find, dataset):
    own.history.unlink()

    training = find(dataset=dataset)

    assert training.counts == training.samples == {}
    assert training.note == "How many images there were was not recorded."
    assert training.history.note == f"there is no history {own.history}"


@pytest.mark.parametrize(
    "flags",
    [
        *({"lr": "x; rm -rf /"}, {"lr": None}, {"batch_size": [1]}, {"name": "../x"}),
        *({"model": "XceptionBased"}, {"weights": "imagenet.pth"}, None),
    ],
)
def test_flags_that_the_parser_would_refuse_are_no_recipe(find, flags):
    assert find(flags={} if flags is None else {**FLAGS, **flags}).recipe is None


def test_training_on_blended_images_shows_real_ones_alone(own, find):
    own.history.unlink()

    training = find(flags={**FLAGS, "self_blend": 1.0, "limit": 3})

    assert list(training.samples) == ["real"]
    assert training.counts["train"] == {"real": 3, "fake": 3}
    assert training.source.limit == 3


def test_training_on_a_fold_shows_the_images_of_that_fold(own, find):
    own.history.unlink()

    counts = [find(flags={**FLAGS, "fold": f"{k}/2"}).counts for k in (0, 1)]
    halves = [[of[split] for split in ("train", "val")] for of in counts]

    assert halves[0] == halves[1][::-1] == [{"real": 4, "fake": 3}] * 2
    assert "How many images" in find(flags={**FLAGS, "fold": "0/9"}).note  # too few


@pytest.mark.parametrize(("number", "expected"), [(RUN_ID, 4), ("", 5)])
def test_history_is_found_by_the_runs_number_or_is_the_newest(
    own, detector, number, expected
):
    aside = own.checkpoint.with_name("faces_SimpleNet_Adam.12.pt")  # by a later run
    record = replace(detector.record, run_id=number)
    runs = [make_run(run_id="other"), make_run(4, run_id=RUN_ID), make_run(5)]
    own.history.write_text(json.dumps(runs))

    history = find_history(replace(detector, path=aside, record=record), None)

    assert len(history.run["val_acc"]) == expected
    assert history.path == own.history


@pytest.mark.parametrize(
    "text", ["{", '[{"run_id": "x"}]', "[]", json.dumps([make_run(run_id="other")])]
)
def test_useless_history_is_refused_only_if_it_is_asked_for(own, find, text, refused):
    own.history.write_text(text)

    history = find().history

    assert history.run == {}
    assert str(own.history) in history.note
    with refused(r"faces_SimpleNet_Adam\.json"):
        find({"history_path": own.history})


@pytest.mark.parametrize("dataset", ["", "../faces"])
def test_checkpoint_that_names_no_dataset_needs_one(own, dataset, refused):
    make_checkpoint(own.checkpoint, dataset=dataset)

    with refused("name the dataset to judge with -d"):
        collect_runs([own.checkpoint], own.settings)
