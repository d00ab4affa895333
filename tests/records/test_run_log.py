"""A run's log: what stands in its rows, once after a resumption, too; its tables."""

import csv
import importlib
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from files.names import RunPaths, name_run_files
from records import run_files
from records.checkpoint import CheckpointRecord
from records.run_files import InterruptedRunError, RunFiles, load_snapshot
from records.run_log import CsvTable, RunLog, TensorBoardTable, load_table
from trainer import Trainer

COLUMNS = ("a", "n", "b")
TIMES = ("images_per_s", "step_s", "epoch_s", "elapsed_s")
RATES = [0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125]  # of the six steps


def name_paths(folder: Path) -> RunPaths:
    return name_run_files("d", "m", "o", out_dir=folder, checkpoints_dir=folder)


def run(
    trainer: Trainer, folder: Path, kinds: tuple[str, ...], *, resume: bool = False
) -> None:
    """Train two epochs, from the start or from the snapshot of an epoch's end."""
    record = CheckpointRecord(flags={"lr": 0.1}, data_fingerprint="abc")
    files = RunFiles(name_paths(folder), {}, record, lambda logits, labels: {})
    files.log = RunLog(files.paths, kinds)
    trainer.measures_norm = files.log.is_on
    with files.watch(minutes=0):
        if resume:
            files.resume(trainer)
        else:
            files.start_anew()
        trainer.run(2, files.at_safe_point, files.after_epoch)


def stop_at(trainer: Trainer, step: int, how: Callable[[], None]) -> None:
    """Let something happen in the forward pass of a step."""

    def act(*args: Any) -> None:
        place = trainer.loaders["train"].state_dict()
        if trainer.model.training and 3 * place["epoch"] + place["batch"] == step:
            how()

    trainer.model.register_forward_hook(act)


def read(path: Path) -> list[dict[str, str]]:
    """Return a table's rows without what no two runs share."""
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{n: v for n, v in row.items() if n not in TIMES} for row in rows]


def test_log_csv_has_a_row_a_step_and_a_row_an_epoch(make_trainer, tmp_path):
    trainer, norms = make_trainer(), []

    def note_norm(*args: Any) -> None:
        gradients = [p.grad.flatten() for p in trainer.model.parameters()]
        norms.append(torch.cat(gradients).norm().item())

    trainer.optimizer.register_step_pre_hook(note_norm)
    run(trainer, tmp_path, ("csv",))
    steps, epochs = (read(path) for path in name_paths(tmp_path).logs[:2])
    columns = {name: [float(row[name]) for row in steps] for name in steps[0]}
    assert columns["epoch"] == [1, 1, 1, 2, 2, 2]
    assert columns["step"] == [1, 2, 3, 4, 5, 6]
    assert columns["images"] == [2, 4, 5, 7, 9, 10]
    assert columns["learning_rate"] == RATES
    assert columns["gradient_norm"] == pytest.approx(norms)
    losses = columns["loss"]
    means = np.reshape(losses, (2, 3)) @ (2, 2, 1) / 5  # of two, two and one images
    assert means == pytest.approx(trainer.history["train_loss"])
    assert [row["epoch"] for row in epochs] == ["1", "2"]
    for curve, values in trainer.history.items():
        assert [float(row[curve]) for row in epochs] == values
    assert [float(row["learning_rate"]) for row in epochs] == [RATES[3], RATES[5] / 2]
    with name_paths(tmp_path).steps.open() as handle:
        times = [row[-2:] for row in csv.reader(handle)][1:]
    elapsed = [float(row[1]) for row in times]
    assert elapsed == sorted(elapsed)
    assert 0 < sum(float(row[0]) for row in times) <= elapsed[-1] + 0.001


def stop_by_signal() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def stop_by_error() -> None:
    raise MemoryError


@pytest.mark.parametrize("kinds", [("csv",), ("csv", "tensorboard")])
@pytest.mark.parametrize(
    ("stop", "step", "left", "kept"),
    [
        (stop_by_signal, 2, 2, 2),
        (stop_by_signal, 6, 6, 6),
        (stop_by_error, 5, 4, 3),
        (stop_by_error, 6, 5, 3),
    ],
)
def test_log_of_a_resumed_run_equals_that_of_the_undisturbed_one(
    make_trainer, tmp_path, kinds, stop, step, left, kept
):
    if "tensorboard" in kinds:
        pytest.importorskip("tensorboard", reason="requirements-log.txt")
    expected, folder = name_paths(tmp_path / "whole"), name_paths(tmp_path / "parts")
    run(make_trainer(), tmp_path / "whole", kinds)
    stopped = make_trainer()
    stop_at(stopped, step, stop)
    with pytest.raises((InterruptedRunError, MemoryError)):
        run(stopped, tmp_path / "parts", kinds)
    assert [row["step"] for row in read(folder.steps)][-1] == str(left)
    place = load_snapshot(folder.snapshot)["trainer"]["batches"]
    assert 3 * place["epoch"] + place["batch"] == kept
    with folder.steps.open("a") as handle:
        handle.write("2,9")  # as a kill during a write would leave it
    run(make_trainer(), tmp_path / "parts", kinds, resume=True)
    assert read(folder.steps) == read(expected.steps)
    assert read(folder.epochs) == read(expected.epochs)
    if "tensorboard" in kinds:
        check_events(folder)


def check_events(paths: RunPaths) -> None:
    """Compare what TensorBoard shows with the CSV files."""
    accumulators = importlib.import_module(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    for key, path, names in (
        ("step", paths.steps, ("loss", "learning_rate", "gradient_norm")),
        ("epoch", paths.epochs, ("train_loss", "test_acc", "learning_rate")),
    ):
        shown = accumulators.EventAccumulator(str(paths.events / key)).Reload()
        for name in names:
            points = [(e.step, e.value) for e in shown.Scalars(f"{key}/{name}")]
            rows = [(int(row[key]), float(row[name])) for row in read(path)]
            assert points == [(key, pytest.approx(value)) for key, value in rows]
        assert f"{key}/elapsed_s" not in shown.Tags()["scalars"]


def test_log_is_on_the_disk_before_the_snapshot(make_trainer, tmp_path, monkeypatch):
    paths, counts = name_paths(tmp_path), {}

    def note(content: dict[str, Any], path: Path) -> None:
        counts.setdefault(path, []).append([len(read(p)) for p in paths.logs[:2]])

    monkeypatch.setattr(run_files, "save_tensors", note)
    run(make_trainer(), tmp_path, ("csv",))
    assert counts[paths.snapshot] == [[3, 1], [6, 2]]


def test_log_off_or_on_trains_the_same_and_clipping_is_measured_before(
    make_trainer, tmp_path
):
    ends = []
    for number, kinds in enumerate(((), ("csv",))):
        for clip in (None, 0.01):
            trainer = make_trainer(grad_clip=clip)
            run(trainer, tmp_path / f"{number}{clip}", kinds)
            ends.append(trainer.model.state_dict())
    for plain, logged in (ends[::2], ends[1::2]):
        assert all(torch.equal(logged[name], value) for name, value in plain.items())
    assert not any(path.exists() for path in name_paths(tmp_path / "0None").logs)
    rows = read(name_paths(tmp_path / "10.01").steps)
    assert min(float(row["gradient_norm"]) for row in rows) > 0.01


def test_log_of_a_run_that_diverges_ends_with_its_last_step(make_trainer, tmp_path):
    trainer = make_trainer()
    bias = trainer.model.fc.bias.data
    stop_at(trainer, 5, lambda: bias.fill_(torch.nan))
    with pytest.raises(FloatingPointError):
        run(trainer, tmp_path, ("csv",))
    assert len(read(name_paths(tmp_path).steps)) == 5


def test_log_of_an_earlier_run_is_kept_and_never_mixed_with_another(
    make_trainer, tmp_path, refused
):
    paths = name_paths(tmp_path)
    run(make_trainer(), tmp_path, ("csv",))
    first = paths.steps.read_bytes()
    (paths.events / "step").mkdir(parents=True)
    run(make_trainer(), tmp_path, ())
    assert not any(path.exists() for path in paths.logs)
    assert (tmp_path / "d_m_o_steps.1.csv").read_bytes() == first
    assert (tmp_path / "d_m_o_tensorboard.1" / "step").is_dir()
    paths.steps.write_text("step,other\n1,2\n")
    with refused("its columns are not epoch,step"):
        run(make_trainer(), tmp_path, ("csv",), resume=True)
    assert paths.steps.read_text() == "step,other\n1,2\n"


def test_run_log_unknown_kind_is_refused_in_one_line(tmp_path, refused):
    for kinds in (["csv", "wandb"], "csv"):
        with refused("--log takes csv and tensorboard"):
            RunLog(name_paths(tmp_path), kinds)
    assert RunLog(name_paths(tmp_path), ["csv"]).is_on


@pytest.fixture
def table(tmp_path) -> CsvTable:
    """A table with three rows, that goes on where others were."""
    for part in ([1, 2], [3]):
        table = CsvTable(tmp_path / "new" / "t.csv", COLUMNS, "n")
        table.write([{"a": None, "n": n, "b": n / 3} for n in part], sync=True)
    table.write([])
    return table


def test_csv_table_grows_and_is_read_while_it_does(table):
    text = table.path.read_text()
    assert text.splitlines()[:2] == ["a,n,b", ",1,0.3333333333333333"]
    for end in ("", "4", "4,5,0.12"):
        table.path.write_text(text + end)
        columns = load_table(table.path)
        assert all(map(math.isnan, columns.pop("a")))
        assert columns == {"n": [1, 2, 3], "b": [1 / 3, 2 / 3, 1]}


@pytest.mark.parametrize(
    ("last", "end", "kept"),
    [
        (9, "", 3),
        (9, "0,4", 3),
        (9, "0,4\n0,5,0.5\n", 3),  # two runs of a full disk
        (2, "0,1,0.5\n", 2),
        (0, "", 0),
    ],
)
def test_csv_table_cut_keeps_whole_rows_up_to_the_last(table, last, end, kept):
    header, *rows = table.path.read_text().splitlines(keepends=True)
    with table.path.open("a") as handle:
        handle.write(end)
    row = table.cut(last)
    assert table.path.read_text() == "".join([header, *rows[:kept]])
    assert row == ({"a": "", "n": str(kept), "b": str(kept / 3)} if kept else {})


def test_csv_table_cut_without_a_whole_header_begins_anew(table):
    for text in ("", "a,n"):
        table.path.write_text(text)
        assert table.cut(9) == {}
        table.write([{"a": 1, "n": 2, "b": 3}])
        assert table.path.read_text() == "a,n,b\n1,2,3\n"
    table.path.unlink()
    assert table.cut(9) == {}
    assert not table.path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="another system")
def test_csv_table_on_a_full_disk_names_the_file():
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        CsvTable(Path("/dev/full"), COLUMNS, "n").write([{"a": 1, "n": 2, "b": 3}])


def test_tensor_board_table_without_its_package_says_how_to_install_it(
    monkeypatch, tmp_path, refused
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with refused("install -r requirements-log.txt"):
        TensorBoardTable(tmp_path, COLUMNS, "n")
