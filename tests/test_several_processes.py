"""Scripts that score: several processes give the files and lines of one."""

import csv
import json
from pathlib import Path

import pytest
import torch
from conftest import TinyNet
from scoring_processes import run_in_processes
from script_helpers import make_checkpoint

import numerical_analysis
import predict
import robustness_analysis
from judging import pictures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("small_simple_net", "tiny_network"),
]
SCRIPTS = {m.__name__: m for m in (numerical_analysis, robustness_analysis, predict)}


@pytest.fixture(autouse=True)
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without requirements-faces.txt: the tests' pictures show no faces."""
    monkeypatch.setattr(pictures, "can_find_faces", lambda: False)


@pytest.fixture
def checkpoints(tmp_path) -> list[str]:
    torch.manual_seed(1)
    tiny, first = TinyNet(), make_checkpoint(tmp_path / "net.pt")
    second = make_checkpoint(
        tmp_path / "tiny.pt", model=tiny.state_dict(), model_name="TinyNet"
    )
    return [str(first), str(second)]


def make_commands(root: Path, checkpoints: list[str], folder: Path) -> list[list[str]]:
    """Three batches for two processes, and one, which leaves none for the second."""
    data = ["-d", root.name, "--data-root", str(root.parent), "--precision", "fp32"]
    data += ["--figures-dir", str(folder), "-cpp", checkpoints[0]]
    tables = ["--csv", str(folder / "a.csv"), "--json", str(folder / "b.jsonl")]
    judged = [str(root), str(folder / "missing.png"), "-r", "-b", "4"]
    return [
        ["numerical_analysis", *data, "-b", "2", "--resamples", "100"],
        [
            "robustness_analysis",
            *data,
            checkpoints[1],
            "-b",
            "64",
            "--conditions",
            "face",
        ],
        ["predict", "-cpp", *checkpoints, *judged, *tables],
    ]


def read_files(folder: Path) -> dict[str, object]:
    """What a folder's files hold, but for when and how they were made."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, content in files.items():
        if name.endswith(".json"):
            files[name] = json.loads(content)
            for call in (files[name], files[name].get("provenance", {})):
                call.pop("date", None), call.pop("command", None)
    files["a.csv"] = list(csv.DictReader(files["a.csv"].decode().splitlines()))
    files["b.jsonl"] = [json.loads(line) for line in files["b.jsonl"].splitlines()]
    for row in files["a.csv"] + files["b.jsonl"]:
        assert row.pop("examined")
    return files


def test_two_processes_give_the_scores_files_and_lines_of_one(
    faces_root, checkpoints, tmp_path, capsys
):
    folder = tmp_path / "figures"
    commands = make_commands(faces_root, checkpoints, folder)
    for script, *words in commands:
        SCRIPTS[script].main(words)
    expected, said = read_files(folder), capsys.readouterr()
    folder.rename(tmp_path / "one")
    figures = tmp_path / "maps"
    explain = ["predict", "-cpp", checkpoints[0], str(faces_root / "test" / "real")]
    explain += ["-b", "1", "--explain", str(figures)]

    done = run_in_processes(2, [*commands, explain])

    assert done.returncode == 0, done.stderr
    assert read_files(folder) == expected
    assert len(expected) > 15
    lines = done.stdout.splitlines()
    assert lines[: len(said.out.splitlines())] == said.out.splitlines()
    errors = [line for line in said.err.splitlines() if "missing.png" in line]
    assert [line for line in done.stderr.splitlines() if line in errors] == errors
    assert len(list(figures.iterdir())) == 2


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
    lost = run_in_processes(2, [["predict", *words]], kill_after=2)

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
