"""The JSON history: old files are read, bad ones refused, no record is lost."""

import json

import pytest

from files.history import CURVES, get_best_epoch, load_history, save_run


def make_run(run_id: str | None = None, num_epochs: int = 2) -> dict:
    run = {
        "model": "SimpleNet",
        "dataset": "fakes_dataset",
        "optimizer": {"name": "Adam", "params": {"lr": 0.001}},
        **{curve: [0.5] * num_epochs for curve in CURVES},
    }
    return run if run_id is None else {"run_id": run_id, **run}


def test_load_history_original_exercise_file_is_read(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps([make_run()]))
    assert load_history(path) == [make_run()]


def test_load_history_single_run_without_a_list_is_read(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(make_run()))
    assert load_history(path) == [make_run()]


def test_load_history_missing_file_says_what_writes_one(tmp_path, one_line):
    with pytest.raises(FileNotFoundError, match=r"train_main\.py writes") as error:
        load_history(tmp_path / "none.json")
    assert "none.json" in one_line(error)


def make_bad_run(**changes: object) -> bytes:
    return json.dumps([make_run(), {**make_run(), **changes}]).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"[{]", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"\xff\xfe[]", "not JSON"),
        (b"[" * 1_000_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'[{"train_loss": [' + b"9" * 10_000 + b"]}]", "not JSON"),
        (b"[]", "expected a list"),
        (b"3", "expected a list"),
        (b"null", "expected a list"),
        (b'"x"', "expected a list"),
        (b"[3]", "run 1"),
        (b"[{}]", "run 1"),
        (b"[NaN]", "run 1"),
        (make_bad_run(val_acc="90"), "run 2 .*'val_acc'"),
        (make_bad_run(val_acc=[1, "2"]), "run 2 .*'val_acc'"),
        (make_bad_run(val_acc=[1, True]), "run 2 .*'val_acc'"),
        (make_bad_run(val_acc=[1, None]), "run 2 .*'val_acc'"),
        (make_bad_run(val_acc=[1, float("nan")]), "run 2 .*'val_acc'"),
        (make_bad_run(val_acc=[1, 10**400]), "run 2 .*'val_acc'"),
        (make_bad_run(val_acc=[1.0]), "different lengths"),
    ],
    ids=range(21),
)
def test_save_run_malformed_history_is_refused_and_left(
    tmp_path, content, reason, one_line
):
    path = tmp_path / "history.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as error:
        save_run(make_run("a"), path)
    assert "history.json" in one_line(error)
    assert path.read_bytes() == content


def test_save_run_old_file_keeps_its_runs_and_gets_one_more(tmp_path):
    path = tmp_path / "history.json"
    path.write_text(json.dumps([make_run(), make_run()]))
    save_run(make_run("a"), path)
    assert load_history(path) == [make_run(), make_run(), make_run("a")]


def test_save_run_known_run_is_replaced_in_its_place(tmp_path):
    path = str(tmp_path / "out" / "history.json")
    save_run(make_run("a", 1), path)
    save_run(make_run("b", 1), path)
    save_run(make_run("a", 2), path)
    assert load_history(path) == [make_run("a", 2), make_run("b", 1)]


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([], 0), ([50.0], 1), ([50.0, 70.0, 60.0], 2), ([70.0, 80.0, 80.0], 2)],
)
def test_get_best_epoch_is_the_first_of_the_highest(accuracies, best):
    assert get_best_epoch({"val_acc": accuracies}) == best
