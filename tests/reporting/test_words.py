"""Tests of what a report says in sentences."""

import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest
from reported_runs import FLAGS

import numerical_analysis
import report
import train_main
from files.recipe import Recipe
from reporting.runs import History
from reporting.words import (
    build_card,
    describe_mistake,
    describe_verdict,
    grade,
    list_commands,
    list_limits,
)

BLENDED = Recipe(dataset="faces", self_blend=1.0)
# A value of every flag of a training that is not its default.
CHANGED = {
    **{"dataset": "my data", "name": "trial-2", "model": "XceptionBased", "seed": 7},
    **{"batch_size": 3, "lr": 1e-5, "epochs": 9, "optimizer": "SGD", "momentum": 0.5},
    **{"weights": Path("a b.pth"), "from_scratch": True, "lr_schedule": "cosine"},
    **{"warmup": 0, "weight_decay": 0.1, "recalibrate_bn": 0, "augment": "none"},
    **{"class_weights": "balanced", "self_blend": 1.0, "face_landmarks": True},
    **{"cutmix": 1.0, "grad_clip": 1e-3, "compile": True, "max_fpr": 0.25},
    **{"fpr_confidence": 0.95},
}


def change(run, numbers=None, split="test", training=None, **entries):
    """A run whose numbers, training or record say something else."""
    analysis = replace(
        run.analysis,
        scores=replace(run.analysis.scores, split=split),
        numbers={**run.analysis.numbers, **(numbers or {})},
    )
    record = replace(run.detector.record, **entries)
    return replace(
        run,
        detector=replace(run.detector, record=record),
        analysis=analysis,
        training=replace(run.training, **(training or {})),
    )


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        ([0.1, 0.4], "It does worse than chance"),
        ([0.4, 0.6], "It is not shown to be better"),
        ([0.55, 0.9], "It separates the classes poorly"),
        ([0.75, 0.9], "It separates the classes, with many errors"),
        ([0.95, 1.0], "It separates the classes well"),
        ([0.995, 1.0], "It separates the classes almost without error"),
    ],
)
def test_grade_goes_by_the_interval(interval, start):
    assert grade({"auc_interval": interval}).startswith(start)


def test_verdict_says_what_on_what_and_how_good(run):
    numbers = {"accuracy": 0.8, "accuracy_interval": [0.5, 0.9], "auc": 0.9}
    numbers |= {"auc_interval": [0.8, 0.95], "confusion_matrix": [[1, 1], [0, 3]]}

    assert describe_verdict(change(run, numbers)).startswith(
        "SimpleNet, trained on faces, judged on the test split of faces (n = 5: 2 real "
        "and 3 fake images). It separates the classes, with many errors. It called 4 "
        "of 5 images right, an accuracy of 80.0 % [50.0 %, 90.0 %]; always giving the "
        "same answer would reach 60.0 %. A random fake scores above a random real "
        "image with a probability of 0.900 [0.800, 0.950], the AUC."
    )


def test_mistake_is_described_with_its_score_and_maps(run):
    sentence = describe_mistake(run.maps.sides[0].shown[0])

    assert sentence.startswith("The real image test/real/0")
    assert "called fake with P(fake)=0.51" in sentence
    assert "Saliency: the pixels that move" in sentence
    assert "Grad-CAM" in sentence


def test_card_has_its_sections(run):
    card = build_card(run)

    assert list(card) == ["Intended use", "Out of scope", "Limits", "Ethics"]
    assert all(sentence.endswith(".") for part in card.values() for sentence in part)
    assert card["Limits"] == list_limits(run)
    assert "called fake at or above P(fake) = 0.51" in card["Intended use"][1]


@pytest.mark.parametrize(
    ("changes", "expected", "unexpected"),
    [
        ({}, "trained on the forgeries of faces, and no others", "A trial"),
        ({}, "only 2 of one class. 5 images show its accuracy", "by heart"),
        ({}, "It has learnt from 9 images.", "not a probability"),
        ({}, "only cropped and mirrored", "validation split"),
        ({"dataset": "other"}, "on the forgeries of other", "of the same collection"),
        ({"dataset": ""}, "Which forgeries it was trained on was not", "faces"),
        ({"training": {"recipe": BLENDED}}, "real images instead of fakes", "others."),
        (
            {"training": {"recipe": replace(BLENDED, self_blend=0.5, augment="none")}},
            "of faces and on self-blended real images",
            "mirrored",
        ),
        ({"training": {"limit": 7}}, "on the first 7 images of each class", "not a"),
        ({"numbers": {"ece_p_value": 0.001}}, "P(fake) is not a probability", "trial"),
        ({"split": "val"}, "were chosen on this validation split", "trial"),
        (
            {
                "epoch": 2,
                "training": {
                    "history": History(
                        {"train_acc": [99.0, 99.0], "val_acc": [80.0, 90.0]}, None, ""
                    )
                },
            },
            "It is 9.0 points better on training images",
            "trial",
        ),
    ],
)
def test_limits_are_those_of_the_run(run, changes, expected, unexpected):
    limits = "\n".join(list_limits(change(run, **changes)))

    assert expected in limits
    assert unexpected not in limits


@pytest.mark.parametrize("excluded", [("from_scratch",), ("weights",)])
def test_every_command_is_one_that_its_parser_takes(run, files, excluded):
    assert set(CHANGED) == {entry.name for entry in fields(Recipe)}
    recipe = Recipe(**{n: v for n, v in CHANGED.items() if n not in excluded})
    flags = {**recipe.to_dict(), "precision": "bf16"}
    run = change(run, training={"recipe": recipe, "limit": 4}, flags=flags)
    source = replace(files.settings.source, limit=3)
    settings = replace(
        files.settings, source=source, history_path=files.history, num_resamples=500
    )

    commands = {
        what: shlex.split(command)
        for what, command in list_commands(run, settings).items()
    }

    assert [words[1] for words in commands.values()] == [
        *("train_main.py", "numerical_analysis.py", "report.py"),
    ]
    training, numbers, page = (
        script.parse_args(words[2:])
        for script, words in zip(
            (train_main, numerical_analysis, report), commands.values(), strict=True
        )
    )
    assert (training.recipe, training.limit, training.precision) == (recipe, 4, "bf16")
    assert numbers.checkpoint_path == page.checkpoint_path == [files.checkpoint]
    assert (numbers.dataset, page.dataset) == (["faces"], "faces")
    assert page.history == files.history
    for args in (numbers, page):
        assert (args.data_root, args.limit, args.resamples) == (
            *(source.data_root, 3, 500),
        )


def test_command_of_a_training_needs_usable_flags(run, files):
    wild = change(run, flags={**FLAGS, "precision": "$(reboot)"})
    unknown = change(run, training={"recipe": None})

    assert "reboot" not in list_commands(wild, files.settings)["Train it"]
    assert "Train it" not in list_commands(unknown, files.settings)
