"""Tests of what a report says in sentences."""

import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest
from map_models import OneConvolution
from reported_runs import FLAGS

import numerical_analysis
import report
import train_main
from explaining.pictures import build_methods
from explaining.shown import NONE_PASSED
from hardware import Precision
from judging.detector import Detector
from loading.sources.datasets import Source
from records.recipe import Recipe
from reporting.runs import History
from reporting.words import build_card, describe_maps, grade, list_commands, list_limits

BLENDED = Recipe(dataset="faces", self_blend=1.0)
MIXED = Recipe(dataset="faces", self_blend=0.5, augment="none")
LEARNT = History({"train_acc": [99.0, 99.0], "val_acc": [80.0, 90.0]}, None, "")
# A value of every flag of a training that is not its default.
CHANGED = {
    **{"dataset": "my data+b", "name": "-2", "model": "XceptionBased", "seed": 7},
    **{"batch_size": 3, "lr": 1e-5, "epochs": 9, "optimizer": "SGD", "momentum": 0.5},
    **{"weights": Path("a b.pth"), "from_scratch": True, "lr_schedule": "cosine"},
    **{"warmup": 0, "weight_decay": 0.1, "recalibrate_bn": 0, "augment": "none"},
    **{"class_weights": "balanced", "self_blend": 1.0, "face_landmarks": True},
    **{"cutmix": 1.0, "grad_clip": 1e-3, "compile": True, "max_fpr": 0.25},
    **{"fpr_confidence": 0.95, "layer_decay": 0.5, "max_fnr": 0.1},
    **{"calibrate_under": ("photographs", "jpeg=70"), "calibration_share": 0.5},
    **{"group_by": "prefix", "mix": "equal", "fold": "2/3"},
}
OF_TUNING = {"tune", "features", "hidden", "rank"}  # which exclude some of these


def change(run, numbers=(), split="test", training=(), **entries):
    """A run whose numbers, training or record say something else."""
    scores = replace(run.analysis.scores, split=split)
    numbers = {**run.analysis.numbers, **dict(numbers)}
    record = replace(run.detector.record, **entries)
    return replace(
        run,
        detector=replace(run.detector, record=record),
        analysis=replace(run.analysis, scores=scores, numbers=numbers),
        training=replace(run.training, **dict(training)),
    )


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        ([0.1, 0.4], "It does worse than chance"),
        ([0.4, 0.6], "It is not shown to be better"),
        ([0.55, 0.9], "It separates the classes poorly"),
        ([0.75, 0.9], "It separates the classes, with many errors"),
        ([0.95, 1.0], "It separates the classes well"),
        ([0.995, 1.0], "It separates the classes nearly without error"),
    ],
)
def test_grade_goes_by_the_interval(interval, start):
    assert grade({"auc_interval": interval}).startswith(start)


def test_card_has_its_sections(run):
    card = build_card(run)

    assert list(card) == ["Intended use", "Out of scope", "Limits", "Ethics"]
    assert all(sentence.endswith(".") for part in card.values() for sentence in part)
    assert len(card["Limits"]) == 5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dataset": "other"}, "on the forgeries of other"),
        ({"dataset": "other", "knows": "two kinds"}, "on two kinds, and no others"),
        ({"dataset": ""}, "Which forgeries it was trained on was not recorded."),
        ({"training": {"recipe": BLENDED}}, "real images instead of fakes"),
        ({"training": {"recipe": MIXED}}, "of faces and on self-blended real images"),
        (
            {"training": {"source": Source(limit=7)}},
            "on the first 7 images of each class",
        ),
        ({"numbers": {"ece_p_value": 0.001}}, "P(fake) is not a probability"),
        ({"split": "val"}, "were chosen on this validation split"),
        ({"epoch": 2, "training": {"history": LEARNT}}, "It is 9.0 points better"),
    ],
)
def test_limits_are_those_of_the_run(run, changes, expected):
    assert expected in "\n".join(list_limits(change(run, **changes)))
    assert expected not in "\n".join(list_limits(run))


@pytest.mark.parametrize("excluded", ["from_scratch", "weights"])
def test_every_command_is_one_that_its_parser_takes(run, files, excluded):
    assert CHANGED.keys() | OF_TUNING == {entry.name for entry in fields(Recipe)}
    recipe = Recipe(**{n: v for n, v in CHANGED.items() if n != excluded})
    flags = {**recipe.to_dict(), "precision": "bf16"}
    source = replace(files.settings.source, limit=3, real_labels=["a", "b"])
    trained = {"recipe": recipe, "source": replace(source, limit=4)}
    run = change(run, training=trained, flags=flags)
    asked = {"source": source, "history_path": files.history, "num_resamples": 500}

    commands = list_commands(run, replace(files.settings, **asked)).values()

    words = [shlex.split(command)[1:] for command in commands]
    scripts = {s.__name__: s for s in (train_main, numerical_analysis, report)}
    assert [f"{name}.py" for name in scripts] == [script for script, *_ in words]
    training, *others = (
        script.parse_args(given)
        for script, (_, *given) in zip(scripts.values(), words, strict=True)
    )
    assert (training.recipe, training.limit, training.precision) == (recipe, 4, "bf16")
    assert training.real_labels == ["a", "b"]
    for args in others:
        assert args.checkpoint_path == [files.checkpoint]
        assert (args.data_root, args.limit) == (source.data_root, 3)
        assert (args.split, args.resamples) == ("test", 500)
    assert others[1].history == files.history


def test_command_of_a_training_needs_usable_flags(run, files):
    wild = change(run, flags={**FLAGS, "precision": "$(reboot)"})
    unknown = change(run, training={"recipe": None})

    assert "reboot" not in list_commands(wild, files.settings)["Train it"]
    assert "Train it" not in list_commands(unknown, files.settings)


def test_maps_in_words_say_what_stands_beside_the_image_and_what_was_checked():
    saliency, cam = build_methods(Detector(OneConvolution()), Precision())
    passed = replace(cam, checked="passed: randomisation, deletion")

    unchecked, one = describe_maps([saliency, cam]), describe_maps([passed])

    assert "its saliency, bright where a small change" in unchecked
    assert unchecked.count("(not checked)") == 2
    assert "Nobody has checked whether such maps" in unchecked
    assert "image; its Grad-CAM at conv3, red where the layer" in one
    assert "(passed: randomisation, deletion). " in one
    assert "What is shown passed these checks" in one
    assert describe_maps([]) == f"Only the images are shown: {NONE_PASSED}."
