"""Several processes give the numbers, files and lines of one."""

import csv
import importlib
import io
import json
import subprocess
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conftest import TinyNet
from scoring_processes import run_in_processes
from script_helpers import make_checkpoint

import predict
from files.tensors import load_tensors
from records.checkpoint_files import read_checkpoint
from records.history import CURVES, load_history
from records.run_log import load_table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("small_simple_net", "tiny_network", "nobody_looks"),
]


@pytest.fixture(scope="module")
def checkpoints(small_simple_net, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(1)
    tiny, first = TinyNet(), make_checkpoint(folder / "net.pt")
    second = make_checkpoint(
        folder / "tiny.pt", model=tiny.state_dict(), model_name="TinyNet"
    )
    return [str(first), str(second)]


def list_scorings(root: Path, checkpoints: list[str]) -> list[list[str]]:
    """Three batches for two processes, and one, which leaves none for the second."""
    data = ["-d", root.name, "--data-root", str(root.parent), "--precision", "fp32"]
    data += ["-cpp", checkpoints[0]]
    few = ["-b", "64", "--conditions", "face"]
    tables = ["--csv", "figures/a.csv", "--json", "figures/b.jsonl"]
    judged = [str(root), "missing.png", "-r", "-b", "4", *tables]
    return [
        ["numerical_analysis", *data, "-b", "2", "--resamples", "100"],
        ["robustness_analysis", *data, checkpoints[1], *few],
        ["predict", "-cpp", *checkpoints, *judged],
    ]


def list_trainings(root: Path) -> list[list[str]]:
    """Of a plain loop, of a head on frozen features, and of a whole network."""
    data = ["-d", root.name, "--data-root", str(root.parent), "--workers", "0"]
    data += ["-b", "2", "--device", "cpu", "--precision", "fp32"]
    head = ["--tune", "head", "--features", "conv1", "conv3", "--self-blend", "0.5"]
    return [
        ["exchanging", "."],
        ["train_main", *data, "-e", "2", *head],
        ["train_main", *data, "-e", "1", "-o", "SGD", "-lr", "0.01", "--keep-pixels"],
    ]


def run(commands: Sequence[Sequence[str]]) -> tuple[str, str]:
    """Run scripts in this process, and return what they print."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        for script, *words in commands:
            importlib.import_module(script).main(words)
    return out.getvalue(), err.getvalue()


class Runs(NamedTuple):
    """The folders of the same commands in one process and in two, and what was said."""

    one: Path
    two: Path
    scored: tuple[str, str]
    trained: str
    done: subprocess.CompletedProcess


@pytest.fixture(scope="module")
def runs(faces_root, checkpoints, tiny_network, nobody_looks, tmp_path_factory) -> Runs:
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    scorings = list_scorings(faces_root, checkpoints)
    trainings = list_trainings(faces_root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(one)
        scored, (trained, _) = run(scorings), run(trainings)
    explain = ["predict", "-cpp", checkpoints[0], str(faces_root / "test" / "real")]
    explain += ["-b", "1", "--explain", "maps"]
    trainings[-1].append("--report")  # the last one: it leaves the group
    done = run_in_processes(2, [*scorings, explain, *trainings], two)
    assert done.returncode == 0, done.stderr
    return Runs(one, two, scored, trained, done)


def read_files(folder: Path) -> dict[str, object]:
    """What a folder's files hold, but for when and how they were made."""
    files = {path.name: path.read_bytes() for path in folder.glob("*[!l]")}
    for name, content in files.items():
        if name.endswith(".json"):
            files[name] = json.loads(content)
            for call in (files[name], files[name].get("provenance", {})):
                call.pop("date", None), call.pop("command", None)
    files["a.csv"] = list(csv.DictReader(files["a.csv"].decode().splitlines()))
    lines = (folder / "b.jsonl").read_text().splitlines()
    files["b.jsonl"] = [json.loads(line) for line in lines]
    for row in files["a.csv"] + files["b.jsonl"]:
        assert row.pop("examined")
    return files


def test_two_processes_give_the_scores_files_and_lines_of_one(runs):
    expected, (out, err) = read_files(runs.one / "figures"), runs.scored
    assert read_files(runs.two / "figures") == expected
    assert len(expected) > 15
    said = runs.done.stdout.splitlines()
    assert said[: len(out.splitlines())] == out.splitlines()
    errors = [line for line in err.splitlines() if "missing.png" in line]
    assert [line for line in runs.done.stderr.splitlines() if line in errors] == errors
    assert len(list((runs.two / "maps").iterdir())) == 2


def test_two_processes_train_as_one_does(runs):
    expected = load_tensors(runs.one / "end0.pt")
    for rank in (0, 1):
        end = load_tensors(runs.two / f"end{rank}.pt")
        for curve, values in expected["history"].items():
            assert end["history"][curve] == pytest.approx(values, rel=1e-5), curve
        torch.testing.assert_close(end["model"], expected["model"])
    history = load_history(runs.two / "d_m_Adam.json")[-1]
    assert history["train_loss"] == pytest.approx(expected["history"]["train_loss"])
    both = (runs.one, runs.two)
    epochs = [load_tensors(folder / "d_m_Adam.pt")["epoch"] for folder in both]
    assert epochs[0] == epochs[1]
    logs = [load_table(folder / "d_m_Adam_steps.csv") for folder in both]
    assert logs[0]["step"] == [1, 2, 3, 4, 5, 6]
    for name in ("step", "images", "loss", "learning_rate", "gradient_norm"):
        assert logs[1][name] == pytest.approx(logs[0][name], rel=1e-5), name


def test_two_processes_write_the_checkpoints_of_one_and_one_report(runs):
    heads, records, curves = [], [], []
    for folder in (runs.one, runs.two):
        start = folder / "checkpoints" / "faces_SimpleNet"
        heads.append(load_tensors(Path(f"{start}_LBFGS.pt"))["model"])
        records.append(read_checkpoint(f"{start}_SGD.pt")[1])
        curves += load_history(folder / "out" / "faces_SimpleNet_SGD.json")
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    for curve in CURVES:
        assert curves[1][curve] == pytest.approx(curves[0][curve], rel=1e-4)
    # It is chosen on the whole validation split.
    assert records[1].threshold_policy == records[0].threshold_policy
    page = runs.two / "figures" / "faces_SimpleNet_SGD_report.html"
    assert "(n = 5: 2 real and 3 fake images)" in page.read_text()
    said = runs.done.stdout.partition("\nepoch 1")[2]
    assert said.count("\nwrote ") == runs.trained.count("\nwrote ") + 1  # one speaks


def test_predict_that_lost_a_process_says_so_and_is_gone_on_with(
    faces_root, checkpoints, tmp_path, capsys
):
    def make_words(folder: Path) -> list[str]:
        outputs = ["--csv", str(folder / "a.csv"), "--json", str(folder / "b.jsonl")]
        return ["-cpp", checkpoints[0], str(faces_root), "-r", "-b", "2", *outputs]

    whole, folder = tmp_path / "whole", tmp_path / "lost"
    predict.main(make_words(whole))
    lines = capsys.readouterr().out.splitlines()

    # A batch has a call for its pictures, and more for their harmless versions.
    words = [*make_words(folder), "--no-stability"]
    lost = run_in_processes(2, [["predict", *words]], tmp_path, kill_after=2)

    assert lost.returncode != 0
    ours = [
        e for e in lost.stderr.splitlines() if e.startswith("scoring_processes.py: ")
    ]
    assert len(ours) == 1, lost.stderr
    assert "another process" in ours[0]
    assert "--resume" in ours[0]
    assert [path.name for path in folder.iterdir()] == ["a.csv.part"]
    with pytest.raises(ValueError, match="stability was False, is now True"):
        predict.main([*make_words(folder), "--resume"])
    capsys.readouterr()
    predict.main([*words, "--resume"])
    resumed = capsys.readouterr().out.splitlines()
    assert resumed[0] == "resumed after 8 pictures"
    assert len(resumed) == 1 + len(lines) - 8
    predict.main([*make_words(whole), "--no-stability"])
    assert read_files(folder) == read_files(whole)
