"""The JSON history: old files are read, others refused, no record is lost."""

import json

import pytest

from records.history import CURVES, check_run, get_best_epoch, load_history, save_run


def make_run(run_id: str | None = None, num_epochs: int = 2, **changes) -> dict:
    run = {"model": "SimpleNet", **{curve: [0.5] * num_epochs for curve in CURVES}}
    return {**({"run_id": run_id} if run_id else {}), **run, **changes}


@pytest.mark.parametrize("runs", [make_run(), [make_run(), {"broken": 1}]])
def test_load_history_files_of_the_original_exercise_are_read(tmp_path, runs):
    path = tmp_path / "old.json"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):  # as Windows' shells write it
        path.write_text(json.dumps(runs), encoding=encoding)
        assert load_history(path) == (runs if isinstance(runs, list) else [runs])


NOT_JSON = [b"", b"[{]", b"\xff\xfe[]", b"[" * 1_000_000, b'{"a":' * 100_000]
NOT_JSON += [b'[{"train_loss": [' + b"9" * 10_000 + b"]}]"]
NOT_RUNS = [b"[]", b"3", b"null", b'"x"', b"[3]", b"[{}, NaN]"]
CASES = [(c, "is not JSON") for c in NOT_JSON]
CASES += [(c, "expected a list of training runs") for c in NOT_RUNS]


@pytest.mark.parametrize(("content", "reason"), CASES, ids=range(len(CASES)))
def test_save_run_file_that_is_not_a_history_is_refused_and_left(
    tmp_path, content, reason, refused
):
    path = tmp_path / "history.json"
    path.write_bytes(content)
    with refused(f"{path} .*{reason}"):
        save_run(make_run("a"), path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (3, "is not a training run"),
        ({}, "no list of numbers under 'train_loss'"),
        *(
            (make_run(val_acc=values), "no list of numbers under 'val_acc'")
            for values in ("90", [1, "2"], [1, True], [1, None], [1, float("nan")])
        ),
        (make_run(val_acc=[1, 10**400]), "no list of numbers under 'val_acc'"),
        (
            make_run(val_acc=[1, 250.5]),
            "in epoch 2 the val_acc 250.5; .* from 0 to 100$",
        ),
        (make_run(test_loss=[1, 1e300]), "the test_loss 1e\\+300; .* from 0 to"),
        ({**make_run(), "seconds": -3}, "has the seconds -3; expected a number from 0"),
        (make_run(val_acc=[1.0]), "curves of different lengths"),
    ],
)
def test_check_run_broken_curves_are_refused(run, reason):
    with pytest.raises(ValueError, match=f"run 2 .*{reason}"):
        check_run(run, "run 2 of h.json")


def test_save_run_is_put_in_its_place_or_at_the_end(tmp_path):
    path = tmp_path / "out" / "history.json"
    save_run(make_run("a", 1), str(path))
    save_run(make_run("b", 1, val_loss=[0.1]), path)
    save_run(make_run("a", 2), path)
    assert load_history(path) == [make_run("a"), make_run("b", 1, val_loss=[0.1])]
    path.write_text('[{"train_loss": [NaN, 1e999]}]')
    save_run(make_run("c"), path)
    assert load_history(path) == [{"train_loss": [None, None]}, make_run("c")]


@pytest.mark.parametrize(
    ("accuracies", "entry", "best"),
    [
        ([], {}, 0),
        ([50.0, 70, 60], {}, 2),
        ([70.0, 80, 80], {}, 2),
        ([80.0, 70, 60], {"best_epoch": 2}, 2),
        *(([50.0, 70], {"best_epoch": epoch}, 2) for epoch in (0, 3, True, "1", [])),
    ],
)
def test_get_best_epoch_is_the_recorded_else_the_first_of_the_highest(
    accuracies, entry, best
):
    assert get_best_epoch({"val_acc": accuracies, **entry}) == best
