"""What is left of a training that is killed, stopped, or runs out of disk."""

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.figure
import pytest
import survival
import torch
from survival import Launcher, make_argv, read_results

from files import atomic
from files.history import CURVES, save_run
from files.tensors import save_tensors
from plots.style import save_figure

KILLS = 11  # for each number of workers
SEEDS = {0: 1, 2: 2}
STEP_TIMEOUT_S = 300


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """Starts train_main.py processes quickly."""
    with Launcher() as launcher:
        yield launcher


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the dataset `faces`."""
    data_root = tmp_path_factory.mktemp("data")
    survival.make_noise_dataset(data_root)
    return data_root


@pytest.fixture(scope="module")
def undisturbed(
    launcher: Launcher, data_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    """The folder of a training that nothing disturbed, and the seconds it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    start = time.monotonic()
    run = launcher.run(make_argv(data_root, minutes=0), folder)
    assert run.status == 0, run.error
    return folder, time.monotonic() - start


def hash_tree(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a run, but for its output."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*/*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def copy_run(folder: Path, target: Path) -> Path:
    """Copy a run's files as links: every write replaces a file, none changes one."""
    return shutil.copytree(folder, target, copy_function=os.link)


def get_only_line(text: str) -> str:
    """Return the text's line, having checked that it is one of reasonable length."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert len(lines[0]) < 1000
    return lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_train_main_killed_at_random_moments_ends_as_undisturbed(
    workers: int,
    launcher: Launcher,
    data_root: Path,
    undisturbed: tuple[Path, float],
    tmp_path: Path,
) -> None:
    expected, duration_s = read_results(undisturbed[0]), undisturbed[1]
    rng = random.Random(SEEDS[workers])
    kills = 0
    while kills < KILLS:
        folder = tmp_path / str(kills)
        counts = survival.go_on_until_done(
            launcher,
            make_argv(data_root, workers=workers),
            folder,
            rng=rng,
            kills=KILLS - kills,
            duration_s=duration_s / 4,
        )
        assert survival.find_differences(read_results(folder), expected) == []
        assert survival.list_temporary_files(folder) == set()
        kills += counts.kills
        shutil.rmtree(folder)


@pytest.mark.slow
def test_train_main_killed_before_a_snapshot_says_so_and_starts_anew(
    launcher: Launcher, data_root: Path, tmp_path: Path
) -> None:
    run = launcher.start(make_argv(data_root, minutes=0), tmp_path)
    run.send(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    run = launcher.run([*make_argv(data_root), "--resume"], tmp_path)
    assert run.status == 2
    assert "there is no snapshot" in get_only_line(run.error)
    assert hash_tree(tmp_path) == {}


@pytest.mark.slow
def test_train_main_killed_after_last_snapshot_resume_completes_history(
    launcher: Launcher,
    data_root: Path,
    undisturbed: tuple[Path, float],
    tmp_path: Path,
) -> None:
    # The last epoch's snapshot was written, its history was not: a kill in between.
    folder = copy_run(undisturbed[0], tmp_path / "run")
    survival.history_path(folder).unlink()
    run = launcher.run([*make_argv(data_root), "--resume"], folder)
    assert run.status == 0, run.error
    expected = read_results(undisturbed[0])
    assert survival.find_differences(read_results(folder), expected) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "workers", "group"),
    [
        (signal.SIGINT, 130, 0, False),
        (signal.SIGTERM, 143, 0, False),
        (signal.SIGINT, 130, 2, True),  # as a terminal does it
        (signal.SIGTERM, 143, 2, True),  # as `timeout` and job schedulers do it
    ],
)
def test_train_main_stopped_by_signal_saves_says_how_to_go_on_and_does(
    number: int,
    status: int,
    workers: int,
    group: bool,
    launcher: Launcher,
    data_root: Path,
    undisturbed: tuple[Path, float],
    tmp_path: Path,
) -> None:
    argv = make_argv(data_root, workers=workers, minutes=0)
    run = launcher.start([*argv, "--checkpoint-minutes", "0.0001"], tmp_path)
    wait_for(survival.snapshot_path(tmp_path).exists)
    run.send(number, group=group)
    assert run.wait() == status, run.error
    last_line = run.output.splitlines()[-1]
    assert signal.Signals(number).name in last_line
    assert str(survival.snapshot_path(Path())) in last_line
    assert "to go on, repeat the command with --resume" in last_line
    assert "Error" not in run.error
    assert survival.list_temporary_files(tmp_path) == set()
    run = launcher.run([*argv, "--resume"], tmp_path)
    assert run.status == 0, run.error
    expected = read_results(undisturbed[0])
    assert survival.find_differences(read_results(tmp_path), expected) == []


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + STEP_TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(survival.POLL_S)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "before", "now"),
    [
        (("-b", "3"), "--batch-size was 2", "is now 3"),
        (("-lr", "0.5"), "--lr was 0.0002", "is now 0.5"),
        (("--seed", "7"), "--seed was 0", "is now 7"),
        (("--grad-clip", "2"), "--grad-clip was 5.0", "is now 2.0"),
        (("--weight-decay", "0.1"), "--weight-decay was 0.0", "is now 0.1"),
        (("--limit", "2"), "--limit was None", "is now 2"),
        (("--precision", "bf16"), "--precision was 'fp32'", "is now 'bf16'"),
    ],
)
def test_train_main_resume_with_other_flags_is_refused_and_touches_nothing(
    flags: tuple[str, str],
    before: str,
    now: str,
    launcher: Launcher,
    data_root: Path,
    undisturbed: tuple[Path, float],
) -> None:
    folder = undisturbed[0]
    hashes = hash_tree(folder)
    run = launcher.run([*make_argv(data_root), *flags, "--resume"], folder)
    assert run.status == 2
    line = get_only_line(run.error)
    assert before in line
    assert now in line
    assert hash_tree(folder) == hashes


@pytest.mark.slow
def test_train_main_resume_with_other_files_is_refused_and_touches_nothing(
    launcher: Launcher,
    data_root: Path,
    undisturbed: tuple[Path, float],
    tmp_path: Path,
) -> None:
    folder = undisturbed[0]
    hashes = hash_tree(folder)
    shutil.copytree(data_root, tmp_path / "data")
    (tmp_path / "data/faces/train/real/0.png").rename(
        tmp_path / "data/faces/train/real/other.png"
    )
    run = launcher.run([*make_argv(tmp_path / "data"), "--resume"], folder)
    assert run.status == 2
    assert "dataset's files are not those" in get_only_line(run.error)
    assert hash_tree(folder) == hashes


@pytest.mark.slow
def test_train_main_resume_with_more_epochs_equals_as_many_from_the_start(
    launcher: Launcher,
    data_root: Path,
    undisturbed: tuple[Path, float],
    tmp_path: Path,
) -> None:
    longer = make_argv(data_root, epochs=3, minutes=0)
    assert launcher.run(longer, tmp_path / "at_once").status == 0
    folder = copy_run(undisturbed[0], tmp_path / "resumed")
    run = launcher.run([*longer, "--resume"], folder)
    assert run.status == 0, run.error
    assert (
        survival.find_differences(
            read_results(folder), read_results(tmp_path / "at_once")
        )
        == []
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("minutes", "file_size"),
    [
        pytest.param(0, 1_000_000, id="best checkpoint"),
        pytest.param(0.0001, 150_000_000, id="snapshot"),
        pytest.param(0.0001, 4_096, id="first block"),
    ],
)
def test_train_main_full_disk_leaves_earlier_files_and_one_line(
    minutes: float,
    file_size: int,
    launcher: Launcher,
    data_root: Path,
    undisturbed: tuple[Path, float],
    tmp_path: Path,
) -> None:
    folder = copy_run(undisturbed[0], tmp_path / "run")
    hashes = sorted(hash_tree(folder).values())
    argv = make_argv(data_root, minutes=minutes)
    run = launcher.run(argv, folder, file_size=file_size)
    assert run.status == 2
    assert "File too large" in get_only_line(run.error)
    assert sorted(hash_tree(folder).values()) == hashes
    assert survival.list_temporary_files(folder) == set()


@contextmanager
def full_disk(file_size: int) -> Iterator[None]:
    """Let no file of this process grow above `file_size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def make_run(run_id: str, num_epochs: int = 1) -> dict[str, object]:
    """Return a run as the history holds it."""
    return {"run_id": run_id, **{curve: [0.5] * num_epochs for curve in CURVES}}


def make_figure() -> matplotlib.figure.Figure:
    """Draw something."""
    figure = matplotlib.figure.Figure()
    figure.subplots().plot([1, 3, 2])
    return figure


WRITERS: dict[str, Callable[[Path], None]] = {
    "history": lambda path: save_run(make_run("b", 5000), path),
    "json": lambda path: atomic.save_json(list(range(9000)), path),
    "csv": lambda path: atomic.save_csv([[n] for n in range(9000)], path, header=["n"]),
    "figure": lambda path: save_figure(make_figure(), path),
    "tensors": lambda path: save_tensors({"weights": torch.ones(9000)}, path),
    "many tensors": lambda path: save_tensors([torch.ones(1)] * 9000, path),
}


@pytest.mark.parametrize("file_size", [0, 100, 5000])
@pytest.mark.parametrize("kind", WRITERS)
def test_writers_full_disk_keep_the_old_file_and_leave_no_other(
    kind: str, file_size: int, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    save_run(make_run("a"), path)
    old = path.read_bytes()
    with full_disk(file_size), pytest.raises(OSError, match="File too large") as error:
        WRITERS[kind](path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


WRITE_FOREVER = """
import sys, time
from pathlib import Path
from files.atomic import write_atomically
def write(handle):
    print("writing", flush=True)
    time.sleep(600)
write_atomically(Path(sys.argv[1]), write)
"""


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that runs `code` in the project's folder."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=survival.PROJECT, stdout=subprocess.PIPE, text=True
    )


def test_write_atomically_takes_the_place_of_what_the_killed_left(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    writer = start_python(WRITE_FOREVER, path)
    assert writer.stdout.readline() == "writing\n"
    writer.kill()
    writer.communicate()
    assert [p.name for p in tmp_path.iterdir()] == [".file.tmp"]
    atomic.write_atomically(path, lambda handle: handle.write(b"new"))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
