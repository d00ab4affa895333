"""What the command lines share: flags, their values, errors as one line."""

import argparse
import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import command_line
from command_line.compute import take_compute, take_network
from command_line.flags import PRECISIONS
from command_line.parser import USER_ERROR_STATUS, describe_error

import pytest
from script_helpers import PROJECT

from files.bounds import COUNT
from files.provenance import VERSION
from hardware import DTYPES, Compute, Precision

HOSTILE = "real\x1b[2K\rfake\nx \u202ey \u2028z \udcff\t\x9b"


def parse(*words: str):
    parser = command_line.Parser("Do it.", epilog="examples:\n  one\n  two")
    command_line.add_dataset_flag(parser)
    command_line.add_model_flag(parser, take_network)
    command_line.add_checkpoint_flag(parser)
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
    parser.add_argument("--flag", action="store_true", help="switch")
    parser.add_argument("-n", type=command_line.take(COUNT))
    parser.add_argument("--list", nargs="+", default=[], help="words")
    parser.add_argument("--said", default=(1, 2), help="numbers (default: 1 2)")
    return parser.parse_args(words)


@pytest.mark.parametrize(
    "words",
    [
        "--batch_size 7 --data_root a_b -cpp",
        "--batch-size=7 --data-root=a_b -cp",
        "--batch_size=7 --data_root=a_b --checkpoint_path",
    ],
)
def test_parser_every_spelling_of_a_flag_is_taken(words):
    args = parse(*words.split(), "my_file.pt", "-d", "my_set/")
    assert (args.batch_size, args.data_root) == (7, Path("a_b"))
    assert (args.checkpoint_path, args.dataset) == (Path("my_file.pt"), "my_set")


def test_parser_names_a_file_that_looks_like_a_flag(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for expected in ("-ash.jpg (see", "-ash.jpg; to name the file, write ./-ash.jpg"):
        with pytest.raises(SystemExit):
            parse("-ash.jpg")
        assert expected in capsys.readouterr().err
        (tmp_path / "-ash.jpg").touch()


def test_parser_flags_may_take_several_values_or_a_checkpoints():
    parser = command_line.Parser("Do it.")
    command_line.add_dataset_flag(parser, None, several=True)
    command_line.add_checkpoint_flag(parser, nargs="+")
    command_line.add_model_flag(parser, from_checkpoint=True)
    args = parser.parse_args(["-d", "x", "y", "-cpp", "a", "b"])
    assert (args.dataset, args.model) == (["x", "y"], None)
    assert args.checkpoint_path == [Path("a"), Path("b")]
    twice = parser.parse_args(["-cpp", "a", "-cpp", "b"])
    assert twice.checkpoint_path == args.checkpoint_path


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-m", "ResNet"], "unknown model 'ResNet': choose from SimpleNet"),
        (["--nothing"], "unrecognized"),
        (["--batch", "3"], "unrecognized"),
        (["-n", HOSTILE], "-n: expected a whole number from 1 to 1,000,000,000, got"),
    ],
)
def test_parser_bad_flag_is_one_printable_line_and_status_2(words, reason, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*words)
    assert stop.value.code == USER_ERROR_STATUS
    error = capsys.readouterr().err.removesuffix("\n")
    assert error.isprintable()
    assert reason in error


def test_parser_help_shows_defaults_where_there_are_some(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: SimpleNet)" in text
    assert "seed of all randomness (default: 0)" in text
    assert "words --said SAID numbers (default: 1 2) examples" in text
    assert "None" not in text
    assert "False" not in text
    assert "examples: one two" in text
    with pytest.raises(SystemExit):
        parse("--version")
    assert capsys.readouterr().out == f"{VERSION}\n"


def test_take_compute_is_what_the_flags_say():
    args = parse("--device", "cpu", "--precision", "bf16", "-b", "7", "--workers", "3")
    expected = Compute(Precision("bf16"), batch_size=7, workers=3)
    assert take_compute(args) == expected
    assert take_compute(args, batch_size=2).batch_size == 2
    assert ("auto", *DTYPES) == PRECISIONS


def test_describe_error_is_one_line():
    assert describe_error(ValueError("a\n  b")) == "a b"
    assert describe_error(ValueError()) == "ValueError"
    caught = (
        "Caught ValueError in DataLoader worker process 0.\n"
        'Original Traceback (most recent call last):\n  File "x"\n'
        "ValueError: cannot read the image a: b\n"
    )
    assert describe_error(ValueError(caught)) == "cannot read the image a: b"


def run(result: object) -> object:
    """Run a script that returns or raises something, and return its exit status."""

    def main(argv):
        if isinstance(result, BaseException):
            raise result
        return result

    with pytest.raises(SystemExit) as stop:
        command_line.run(main)
    return stop.value.code


@pytest.mark.parametrize(
    ("result", "status", "text"),
    [
        *((status, status, "") for status in (None, 0, 1)),
        (ValueError("no\ngood"), 2, "error: no good"),
        (FileNotFoundError("no file"), 2, "error: no file"),
        (FloatingPointError("the loss became nan"), 2, "error: the loss became nan"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(HOSTILE), 2, "error: real"),
        (
            RuntimeError("DataLoader worker (pid 3) is killed"),
            2,
            "error: .*--workers 0",
        ),
        (RuntimeError("DataLoader timed out after"), 2, "error: .*--workers 0"),
        (RuntimeError("CUDA out of memory."), 2, "error: a smaller --batch-size"),
        (RuntimeError("[a] Connection reset by\nm"), 2, "error: another process"),
    ],
)
def test_run_ends_with_a_status_and_at_most_a_line(result, status, text, capsys):
    assert run(result) == status
    error = capsys.readouterr().err.removesuffix("\n")
    assert error.isprintable()
    assert re.search(text, error) if text else not error


@pytest.mark.parametrize("bug", [KeyError("a bug"), RuntimeError("a bug")])
def test_run_programming_error_keeps_its_traceback(bug):
    with pytest.raises(type(bug)):
        run(bug)


@pytest.mark.parametrize(
    ("rank", "status", "error"),
    [
        ("0", 2, "runs in one process, and torchrun started 4: start it with python"),
        ("3", 0, ""),
    ],
)
def test_run_of_a_script_for_one_process_refuses_several(
    rank, status, error, monkeypatch, capsys
):
    for name, value in (("LOCAL_RANK", rank), ("RANK", rank), ("WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert run(0) == status
    assert capsys.readouterr().err.rstrip().endswith(error)


def test_run_in_several_processes_one_speaks_and_sigterm_stops(monkeypatch, capsys):
    def stop(argv):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("LOCAL_RANK", "1")
    for speaks in (True, False):
        with pytest.raises(SystemExit) as end:
            command_line.run(stop, partial(bool, speaks))
        assert end.value.code == 128 + signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN  # torchrun repeats it
        error = capsys.readouterr().err
        assert ("stopped by SIGTERM" in error) == speaks
    signal.signal(signal.SIGTERM, before)


def test_say_prints_each_text_as_one_line(capsys):
    command_line.say(HOSTILE, "b")
    first, second = capsys.readouterr().out.split("\n")[:-1]
    assert first.isprintable()
    assert second == "b"


SCRIPTS = [path.name for path in PROJECT.glob("*.py") if "run(main" in path.read_text()]


@pytest.mark.parametrize("script", SCRIPTS)
def test_numbers_of_flags_have_bounds(script, monkeypatch):
    actions = []

    def keep(parser, *args):
        actions.extend(parser._actions)
        raise SystemExit

    monkeypatch.setattr(command_line.Parser, "parse_known_args", keep)
    with pytest.raises(SystemExit):
        importlib.import_module(script.removesuffix(".py")).parse_args([])
    takers = [a.type for a in actions if a.type not in (None, Path)]
    for take in takers:
        with contextlib.suppress(argparse.ArgumentTypeError):
            if str(take("a-word")) == "a-word":
                continue  # a name
        for text in ("nan", "inf", "-inf", "1e400", "9" * 400, "9" * 5000, "", "1e3x"):
            with pytest.raises(argparse.ArgumentTypeError):
                take(text)


@pytest.mark.parametrize("script", SCRIPTS)
def test_interrupt_during_the_imports_is_a_line(script, tmp_path):
    for module in ("cv2", "matplotlib", "numpy", "torch", "tqdm"):
        (tmp_path / f"{module}.py").write_text(
            "import os, signal\n"
            "try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
            "except BaseException:\n    raise ImportError('as C code says it')\n"
        )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-B", str(PROJECT / script), "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, f"{script}: interrupted\n")


RUN = "-c 'import command_line as c; c.run(lambda argv: {})'"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "redirection", "status"),
    [
        ("predict.py -cpp none.pt -", "<&- >&-", 2),
        (RUN.format('int("x")'), "<&- >&- 2>&-", 2),
        (RUN.format('c.say("a")'), ">/dev/full", 2),
        ("make_demo_datasets.py --help", ">&-", 0),
    ],
)
def test_streams_that_are_closed_or_full_are_no_traceback(words, redirection, status):
    command = f'"{sys.executable}" -B {words} {redirection}'
    done = subprocess.run(
        command, shell=True, cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == status
    assert done.stderr.count("\n") <= 1
    assert ": error: " in done.stderr or not status or "2>" in redirection


def start(program: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-B", "-c", f"import command_line as c; c.run({program})"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_run_other_terminals_and_readers_that_leave_are_no_error():
    writer = start("lambda argv: [print('x' * 99) for _ in range(9999)]")
    speaker = start("lambda argv: c.say('顔é')")
    assert speaker.communicate() == (b"\\u9854\\xe9\n", b"")
    assert speaker.returncode == 0
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.stderr.read() == b""
    writer.stderr.close()
    assert writer.wait() == 1
