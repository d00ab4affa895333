"""What is left of a training that is killed, stopped, or runs out of disk."""

import hashlib
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import killed_trainings
import pytest
import torch
from killed_trainings import SNAPSHOT, finish, make_argv, read_results

pytestmark = pytest.mark.slow
start = partial(killed_trainings.start, small=True)
OFTEN = 0.0001  # minutes: a snapshot after each step


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_root = tmp_path_factory.mktemp("data")
    killed_trainings.make_noise_dataset(data_root)
    return data_root


@pytest.fixture(scope="module")
def undisturbed(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert finish(start(make_argv(data_root), folder)) == 0, read_error(folder)
    return folder


def read_error(folder: Path) -> str:
    return (folder / "stderr").read_text()


def check_resumed(argv: list[str], folder: Path, undisturbed: Path) -> None:
    """Go on, and end with the values of the undisturbed training, bit for bit."""
    assert finish(start([*argv, "--resume"], folder)) == 0, read_error(folder)
    results, expected = read_results(folder), read_results(undisturbed)
    assert [place for place in expected if results.get(place) != expected[place]] == []
    assert results.keys() == expected.keys()
    assert killed_trainings.list_temporary_files(folder) == set()


# Undisturbed, files get their names in this order: snapshot, checkpoint and history of
# the first epoch, snapshot of the second.
KILLS = {
    "in an epoch": (2, OFTEN, (torch.optim.Adam, "step", 7)),
    "during a write": (0, 0, (Path, "replace", 4)),
    "between snapshot and checkpoint": (0, 0, (Path, "replace", 2)),
}


@pytest.mark.parametrize("name", KILLS)
def test_train_main_killed_ends_as_undisturbed(name, data_root, undisturbed, tmp_path):
    workers, minutes, moment = KILLS[name]
    argv = make_argv(data_root, workers=workers, minutes=minutes)
    assert finish(start(argv, tmp_path, kill_at=moment)) == -signal.SIGKILL
    left = {path.name for path, _ in killed_trainings.list_temporary_files(tmp_path)}
    assert len(left) == (moment[0] is Path)
    check_resumed(argv, tmp_path, undisturbed)


def test_train_main_interrupted_saves_and_says_how_to_go_on(
    data_root, undisturbed, tmp_path
):
    argv = make_argv(data_root, workers=2, minutes=OFTEN)
    process = start(argv, tmp_path, interrupt_at=(torch.optim.Adam, "step", 3))
    assert finish(process) == 130, read_error(tmp_path)
    last_line = (tmp_path / "stdout").read_text().splitlines()[-1]
    assert "SIGINT" in last_line
    assert f"saved {SNAPSHOT}; to go on, repeat the command with --resume" in last_line
    assert "Error" not in read_error(tmp_path)
    check_resumed(argv, tmp_path, undisturbed)


def test_train_main_full_disk_leaves_earlier_files_and_one_line(
    data_root, undisturbed, tmp_path
):
    # As links: every write replaces a file, none changes one.
    folder = shutil.copytree(undisturbed, tmp_path / "run", copy_function=os.link)
    hashes = hash_files(folder)
    argv = make_argv(data_root, minutes=OFTEN)
    assert finish(start(argv, folder, file_size=200_000)) == 2
    (line,) = read_error(folder).splitlines()
    assert "File too large" in line
    assert hashes <= hash_files(folder)
    assert killed_trainings.list_temporary_files(folder) == set()


def hash_files(folder: Path) -> set[str]:
    """Return the hashes of a run's files, but for its output and lock."""
    return {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*/*")
        if path.is_file() and path.suffix != ".lock"
    }
