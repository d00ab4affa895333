"""Tests of what a report says in sentences."""

import shlex
from dataclasses import replace

import pytest

import train_main
from reporting.runs import History
from reporting.words import (
    build_card,
    describe_mistake,
    describe_verdict,
    grade,
    list_commands,
    list_limits,
)


@pytest.fixture
def change(run, monkeypatch):
    """Makes the run's checkpoint, report or training say something else."""

    def with_changes(*, report=None, training=None, **details):
        for name, value in details.items():
            monkeypatch.setitem(run.model.details, name, value)
        analysis = replace(
            run.analysis, numbers={**run.analysis.numbers, **(report or {})}
        )
        return replace(
            run,
            analysis=analysis,
            training=replace(run.training, **(training or {})),
        )

    return with_changes


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        ([0.1, 0.4], "It is worse than chance"),
        ([0.4, 0.6], "It is not shown to be better"),
        ([0.55, 0.9], "It tells the classes apart poorly"),
        ([0.75, 0.9], "It tells the classes apart, with many errors"),
        ([0.95, 1.0], "It tells the classes apart well"),
        ([0.995, 1.0], "It tells the classes apart nearly without error"),
    ],
)
def test_grade_goes_by_the_interval(interval, start):
    assert grade({"auc_interval": interval}).startswith(start)


def test_verdict_says_what_on_what_and_how_good(change):
    report = {"accuracy": 0.8, "accuracy_interval": [0.5, 0.9], "auc": 0.9}
    report |= {"auc_interval": [0.8, 0.95], "confusion_matrix": [[1, 1], [0, 3]]}

    verdict = describe_verdict(change(report=report))

    assert verdict.startswith(
        "SimpleNet, trained on faces, judged on the test split of faces (n = 5: 2 real "
        "and 3 fake images). It tells the classes apart, with many errors. It called "
        "4 of 5 images right: accuracy 80.0 % [50.0 %, 90.0 %], where one answer for "
        "all would reach 60.0 %."
    )
    assert "with probability 0.900 [0.800, 0.950], the AUC" in verdict


def test_mistake_is_said_with_its_numbers(run):
    sentence = describe_mistake(run.maps.sides[0].shown[0])

    assert sentence.startswith("The real image test/real/0")
    assert "called fake with P(fake)=0.51" in sentence
    assert "'fake': a saliency map, of which 3" in sentence


def test_card_has_its_sections(run):
    card = build_card(run)

    assert list(card) == ["Intended use", "Out of scope", "Limits", "Ethics"]
    assert all(sentence.endswith(".") for part in card.values() for sentence in part)
    assert "not proof" in card["Out of scope"][0]


def test_limits_say_what_is_known_of_the_run(change):
    limits = "\n".join(list_limits(change()))

    assert "It was trained on the forgeries of faces, and no others." in limits
    assert "worse than chance" in limits
    assert "Small n: only 2 of one class. 5 images show its accuracy" in limits
    assert "It has learnt from 9 images." in limits
    assert "cropped and mirrored only" in limits
    assert "of the same collection" in limits
    assert "A trial" not in limits
    assert "points better on training" not in limits


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flags": {"self_blend": 1.0}}, "self-blended real images in place of fakes"),
        ({"flags": {"self_blend": 0.5}}, "of faces and on self-blended real images"),
        ({"flags": {"limit": 7}}, "A trial: trained on the first 7 images a class."),
        ({"training": {"dataset": ""}}, "Which forgeries it was trained on was not"),
        ({"report": {"ece_p_value": 0.001}}, "P(fake) is no probability"),
    ],
)
def test_limits_follow_the_recipe(change, changes, expected):
    assert expected in "\n".join(list_limits(change(**changes)))


def test_limits_of_validation_and_of_overfitting_are_said(change, run):
    record = {"train_acc": [99.0, 99.0], "val_acc": [80.0, 90.0]}
    changed = change(training={"history": History(record, None, "")})
    scores = replace(changed.analysis.scores, split="val")
    changed = replace(changed, analysis=replace(changed.analysis, scores=scores))

    limits = "\n".join(list_limits(changed))

    assert "It is 9.0 points better on training images" in limits
    assert "Validation chose its epoch and threshold" in limits


def test_threshold_that_nothing_chose_is_said(run, monkeypatch):
    monkeypatch.delitem(run.model.details, "threshold")

    assert "the default: nothing chose it" in build_card(run)["Intended use"][1]


def test_commands_can_be_run_again(run, files):
    settings = replace(
        files.settings, limit=3, full_decoding=True, history_path=files.history
    )

    commands = list_commands(run, settings, "fp32")

    training = shlex.split(commands["Train it"])
    args = train_main.parse_args(training[2:])
    assert training[:2] == ["python", "train_main.py"]
    assert (args.dataset, args.lr, args.epochs, args.limit) == ("faces", 0.001, 2, None)
    assert "--limit 3 --full-decoding" in commands["Its report"]
    assert f"--history {files.history}" in commands["Its report"]
    assert "--history" not in commands["Its numbers, figures and scores"]


def test_checkpoint_without_flags_has_no_training_command(run, files, monkeypatch):
    monkeypatch.delitem(run.model.details, "flags")

    assert list(list_commands(run, files.settings, "fp32")) == [
        "Its numbers, figures and scores",
        "Its report",
    ]


def test_strangers_flags_are_quoted(change, files):
    run = change(flags={"name": "x; rm -rf /", "compile": True, "list": [1]})

    command = list_commands(run, files.settings, "fp32")["Train it"]

    assert "--name 'x; rm -rf /' --compile" in command
    assert "--list" not in command
