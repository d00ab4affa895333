"""Flags that exclude or need each other, and values out of range: one line at once."""

import importlib
import re
import shlex

import pytest

# Of a script, what is given and what is said.
REFUSED = {
    "train_main": {
        "-m ResNet": "unknown model 'ResNet': choose from SimpleNet",
        "--weights x.pth": "SimpleNet starts from random weights",
        "--limit none": "--limit: expected a whole number from 1",
        "--unknown": "unrecognized",
        f"--name {'x' * 60} --seeds 1": "at most 60 letters",
        "--seeds 0 -2": "from 0",
        "--seeds 1 1": "takes each seed once",
        "--seeds 1 --seed 1": "--seed and --seeds exclude each other",
        "--folds 3 --fold 1/3": "--fold and --folds exclude each other",
        "--folds 1": "from 2 to 99",
        "--tune head -lr 0.1": "--lr does not go with --tune head",
        "--tune head -o Adam": "--tune head and -o LBFGS go together",
        "-o LBFGS": "--tune head and -o LBFGS go together",
        "--features conv": "--features goes with --tune head",
        "--tune norms --hidden 3": "--hidden goes with --tune head",
        "--rank 3": "--rank goes with --tune lora",
        "--tune head --features auto conv": "takes auto alone, or layers, each once",
        "--tune head --features conv conv": "each once: got 'conv conv'",
        "--tune lora --layer-decay 0.5": "--layer-decay goes with --tune all",
    },
    "numerical_analysis": {
        "--group-by x --group-column y": "exclude each other",
        "--group-column y": "goes with --from-scores",
        "--from-scores a -cpp b -d x y": (
            "one dataset for --checkpoint-path and --from-scores"
        ),
        "--from-scores a --positive-label x --real-labels y": "exclude each other",
        "--from-scores a --split val": "--split goes with datasets, not with",
        "--from-scores a --match stem": "--match goes with two detectors or more",
        "-cpp a.pt b.pt -cpp a.pt": "a.pt is given twice",
        "--from-scores a b a": "a is given twice",
        "--from-scores a b c -d x y": "one for each file",
        "--resamples 99": "a whole number from 100 to 1,000,000",
        "--subset-by x --subset-column y": "exclude each other",
        "-cpp ''": "-cpp/-cp/--checkpoint-path: a path is empty",
        "--path-column ''": "--path-column goes with --from-scores",
        "--lower-is-fake": "--lower-is-fake goes with --from-scores",
        "--calibrate-on v": "--calibrate-on goes with --from-scores",
        "--from-scores a b --calibrate-on v": "one file for each",
        "--from-scores a --max-fpr 0.1": "goes with --calibrate-on",
        "--fpr-confidence 0.9": "goes with --max-fpr",
        "--threshold nan": "expected a number from -1e\\+300",
        "--prevalence 1": "a number above 0 up to, not including, 1",
        "--runs --prevalence 0.1": "--runs",
        "--runs --subset-by x": "--runs",
        "--runs 1": "--runs",
        "--runs --subset-column x --from-scores y": "--runs",
    },
    "predict": {
        "-cpp A.pt": "name images or folders, or - for a list on stdin",
        "--explain a.jpg": "a.jpg was taken as the folder of --explain; name the",
        f"--explain {__file__} b.png": "py was taken as the folder of --explain",
        "-cpp a.jpg": "a.jpg was taken as the checkpoint",
        "a.png --csv -": "--csv writes a file, not to standard output",
        "-cpp A.pt - -": "- is given twice",
        "'' a.png": "argument PATH: a path is empty",
        "a.mp4 --frames 4": "--frames takes a FILE, got 4; how many: --most-frames",
        "-cpp A.pt a.png -0": "-0 goes with -",
        "-cpp A.pt a.png --resume": "--resume goes with --csv, --json or --frames",
        "-cpp A.pt a.png --resume --csv a --report b": "without --report",
    },
    "calibrate": {
        "-cpp A.onnx": "calibrate the checkpoint that it was made of, and export",
    },
    "extract_faces": {
        "--to own": "give --real, --fake or both",
        "--to own --real x --shares 1 1 1": "must sum to 1",
        "--to own --real x --every 0": "from 0.001 to",
        "--to own --real x --every 1e-320": "from 0.001 to",
        "--to own --real x --margin inf": "from 0.1 to 10",
        "--to own --real x --size 5000": "from 8 to 4,096",
    },
    "saliency_map": {
        "--image a.png": "--image goes with -cpp CHECKPOINT",
        "-cpp a.pt --image a --class true": "--class true needs a",
        "-cpp a.pt --image a --checks": "--checks needs a dataset",
        "--image a.png --choose random": "not allowed with",
        "--checks 3": "expected a whole number from 4",
    },
    "grad_cam_analysis": {
        "-cpp a.pt --image a --whole-set": "--whole-set needs a dataset"
    },
    "report": {"-cpp a.pt b.pt --history c": "--history goes with one checkpoint"},
    "plot_accuracy_and_loss": {
        "--steps s.csv --run 1": "--steps draws a single one",
        "--steps s.csv -j h.json": "not allowed with argument --steps",
    },
    "make_demo_datasets": {
        "--images-per-class 999999999": "a whole number from 1 to 1",
        "--workers 999999999": "a whole number from 1 to 1",
    },
    "check_network": {"-m Nobody": "unknown model 'Nobody': choose from Simple"},
}


@pytest.mark.parametrize("script", REFUSED)
def test_parse_args_refuses_in_one_line(script, capsys):
    parse_args = importlib.import_module(script).parse_args
    for words, reason in REFUSED[script].items():
        with pytest.raises(SystemExit) as stop:
            parse_args(shlex.split(words))
        error = capsys.readouterr().err
        assert (stop.value.code, error.count("\n")) == (2, 1), words
        assert re.search(reason, error), words
