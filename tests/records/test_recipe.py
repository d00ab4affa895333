"""A recipe and the command line that repeats it say the same."""

import math
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest

import train_main
from files.bounds import Bounds
from models import NETWORKS
from records.recipe import RECIPES, Recipe, list_runs

NEEDS = {
    "weights": {"model": "XceptionBased"},
    "face_landmarks": {"self_blend": 0.5},
    "fpr_confidence": {"max_fpr": 0.1},
    "features": {"tune": "head"},
    "hidden": {"tune": "head"},
    "rank": {"tune": "lora"},
    "group_by": {"fold": "1/3"},
    "mix": {"dataset": "a+b"},
}
VALUES = {
    "dataset": ["a b'$(c)", "-d", "--run_it=now", "-1", "é", "a+b", "hf:a/b@c"],
    "name": ["x_last_1", "-x", "--name", "_" * 60],
    "model": list(NETWORKS),
    "features": [("auto",), ("block3", "layer4.1", "a-b")],
    "optimizer": ["Adam", "SGD"],
    "calibrate_under": [("photographs",), ("none", "face=96", "jpeg=70")],
    "group_by": ["prefix", r"-\d+ 'x'"],
    "fold": ["0/2", "98/99"],
    "weights": [Path("a b.pth"), Path("-w.pth"), Path("folder/w.pth")],
}


def list_values(entry) -> list:
    """The values of a field that are likeliest to go wrong: those at the ends."""
    allowed = entry.metadata["flag"].allowed
    if entry.name in VALUES or isinstance(allowed, tuple):
        return VALUES.get(entry.name, allowed)
    if not isinstance(allowed, Bounds):
        return [True, False]
    low, high = allowed.low, allowed.high
    low = math.nextafter(low, high) if allowed.above else low
    high = math.nextafter(high, low) if allowed.below else high
    return [allowed.kind(low), allowed.kind(high)]


@pytest.mark.parametrize("entry", fields(Recipe), ids=lambda entry: entry.name)
def test_format_command_is_taken_by_the_parser_and_gives_the_recipe_back(entry):
    values = list_values(entry)
    assert len(values) > 1
    for value in values:
        recipe = Recipe(**{entry.name: value, **NEEDS.get(entry.name, {})})
        command = recipe.format_command("--data-root", "my data")
        python, script, *words = shlex.split(command)
        assert (python, script) == ("python", "train_main.py")
        args = train_main.parse_args(words)
        assert (args.recipe, args.data_root) == (recipe, Path("my data"))
        weights = recipe.weights and Path(recipe.weights.name)
        stored = {**recipe.to_dict(), "of a later version": 1}
        assert Recipe.from_untrusted(stored) == replace(recipe, weights=weights)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_named_sets_defaults_that_flags_override(name, capsys):
    recipe = train_main.parse_args(["--recipe", name]).recipe
    assert recipe == Recipe(**RECIPES[name])
    words = shlex.split(recipe.format_command())[2:]
    assert train_main.parse_args(words).recipe == recipe
    given = ["--recipe", name, "-e", "3", "-m", "SimpleNet", "--self_blend"]
    changed = replace(recipe, epochs=3, model="SimpleNet", self_blend=1.0)
    assert train_main.parse_args(given).recipe == changed
    assert changed.splits_without_fakes == ("train", "val")
    assert recipe.splits_without_fakes == ()


@pytest.mark.parametrize(
    ("changes", "words", "reason"),
    [
        ({"lr": 0}, "-lr 0", "above 0"),
        ({"lr": math.nan}, "-lr nan", "above 0"),
        ({"lr": None}, "", "--lr must be a number above 0, at most 1,000, got None"),
        ({"epochs": 0}, "-e 0", "from 1 to 100,000"),
        ({"epochs": True}, "", "--epochs must be a whole number"),
        ({"epochs": 2.0}, "-e 2.0", "a whole number"),
        ({"batch_size": 65537}, "-b 65537", "from 1 to 65,536"),
        ({"optimizer": "RMSprop"}, "-o RMSprop", "Adam.*SGD"),
        ({"momentum": 1.0}, "--momentum 1", "up to, not including, 1"),
        ({"seed": -1}, "--seed=-1", "from 0"),
        ({"seed": 2**63}, f"--seed {2**63}", "from 0"),
        ({"name": "a/b"}, "--name a/b", "at most 60 letters"),
        ({"dataset": ".."}, "-d ..", "the name of a folder"),
        ({"self_blend": 1.5}, "--self-blend 1.5", "from 0 to 1"),
        ({"max_fpr": 1.0}, "--max-fpr 1", "not including, 1"),
        ({"fold": "5/5"}, "--fold 5/5", "must be a fold as in 0/5, .*, got '5/5'"),
        ({"fold": "0/1"}, "--fold 0/1", "got '0/1'"),
        ({"group_by": "x"}, "--group-by x", "with --calibration-share or --fold"),
        ({"weights": "w.pth"}, "", "--weights must be a Path, got 'w.pth'"),
        ({"compile": 1}, "", "--compile must be a bool, got 1"),
        ({"fpr_confidence": 0.9}, "--fpr-confidence 0.9", "goes with --max-fpr above"),
        ({"face_landmarks": True}, "--face-landmarks", "goes with --self-blend"),
        (
            {"model": "XceptionBased", "weights": Path("w"), "from_scratch": True},
            "-m XceptionBased --weights w --from-scratch",
            "--weights and --from-scratch exclude each other",
        ),
    ],
)
def test_recipe_refuses_what_the_parser_refuses(changes, words, reason, capsys):
    with pytest.raises(ValueError, match=reason):
        Recipe(**changes)
    if words:
        with pytest.raises(SystemExit) as stop:
            train_main.parse_args(words.split())
        assert stop.value.code == 2
        assert re.search(reason, capsys.readouterr().err)


def test_help_shows_every_default(capsys):
    with pytest.raises(SystemExit):
        train_main.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for entry in fields(Recipe):
        flag = entry.metadata["flag"]
        default = flag.default_words or entry.default
        if flag.allowed is not bool and default is not None:
            assert f"{flag.help} (default: {default})" in text


@pytest.mark.parametrize(
    ("flags", "steps", "warmup", "batches"),
    [
        ({}, 4, 4, 12),
        ({}, 99, 99, 12),
        ({}, 338, 100, 0),
        ({"warmup": 0, "recalibrate_bn": 0}, 4, 0, 0),
        ({"warmup": 7, "recalibrate_bn": 3}, 338, 7, 3),
    ],
)
def test_recipe_counts_by_the_steps_of_an_epoch(flags, steps, warmup, batches):
    recipe = Recipe(**flags)
    assert recipe.count_warmup_steps(steps) == warmup
    assert recipe.count_bn_batches(steps) == batches


def test_list_runs_names_what_they_differ_in_and_their_commands_repeat_them():
    words = "--name A --folds 2 --seeds 7 0 --group-by prefix -lr 0.1"
    args = train_main.parse_args(shlex.split(words))
    shared = Recipe(name="A", group_by="prefix", fold="0/2", lr=0.1)
    assert (args.recipe, args.recipes[0].seed) == (shared, 7)
    assert [(run.name, run.fold, run.seed) for run in args.recipes] == [
        ("A_fold0_seed7", "0/2", 7),
        ("A_fold1_seed7", "1/2", 7),
        ("A_fold0_seed0", "0/2", 0),
        ("A_fold1_seed0", "1/2", 0),
    ]
    for run in args.recipes:
        given = shlex.split(run.format_command())[2:]
        assert train_main.parse_args(given).recipes == [run]
    assert [run.name for run in list_runs(Recipe(), [3, 4])] == ["seed3", "seed4"]
    assert list_runs(shared) == [shared]
