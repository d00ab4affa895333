"""What the command lines share: flags, number types, errors as one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import command_line
from command_line.flags import PRECISIONS
from command_line.parser import (
    USER_ERROR_STATUS,
    describe_error,
    make_printable,
    non_negative_float,
    positive_float,
    run_name,
    seed,
)
from hardware.device import DTYPES

REPOSITORY = Path(command_line.__file__).parents[1]


def build_parser() -> command_line.Parser:
    parser = command_line.Parser("Do it.", epilog="examples:\n  one\n  two")
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser)
    command_line.add_checkpoint_flag(parser)
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
    parser.add_argument("--flag", action="store_true", help="switch")
    return parser


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (command_line.positive_int, "1", 1),
        (command_line.non_negative_int, "0", 0),
        (positive_float, "1e-3", 0.001),
        (non_negative_float, "0", 0.0),
        (command_line.fraction, "0.9", 0.9),
        (seed, str(2**63 - 1), 2**63 - 1),
        (run_name, "lr_0-1", "lr_0-1"),
    ],
)
def test_number_type_allowed_number_is_returned(kind, text, value):
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (command_line.positive_int, "0"),
        (command_line.positive_int, "1.5"),
        (command_line.positive_int, "x"),
        (command_line.non_negative_int, "-1"),
        (positive_float, "0"),
        (positive_float, "-0.1"),
        (positive_float, "nan"),
        (positive_float, "inf"),
        (non_negative_float, "-0.5"),
        (command_line.fraction, "1"),
        (seed, str(2**64)),
        (run_name, "a b"),
        (run_name, "../a"),
        (run_name, "a.1"),
        (run_name, ""),
        (run_name, "last"),
        (run_name, "a_last"),
    ],
)
def test_number_type_other_number_says_what_is_allowed(kind, text, capsys):
    parser = command_line.Parser("Do it.")
    parser.add_argument("-n", type=kind)
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(["-n", text])
    captured = capsys.readouterr()
    assert exit_.value.code == USER_ERROR_STATUS
    assert captured.err.count("\n") == 1
    assert repr(text) in captured.err
    assert "expected " in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch_size", "7", "--data_root", "my_data"],
        ["--batch-size", "7", "--data-root", "my_data"],
        ["--batch_size=7", "--data_root=my_data"],
        ["-b", "7", "--data-root", "my_data"],
    ],
)
def test_parser_hyphens_and_underscores_mean_the_same(arguments):
    args = build_parser().parse_args(arguments)
    assert (args.batch_size, args.data_root) == (7, Path("my_data"))


@pytest.mark.parametrize("flag", ["-cpp", "-cp", "--checkpoint_path"])
def test_parser_checkpoint_flag_every_spelling_is_taken(flag):
    args = build_parser().parse_args([flag, "my_file.pt", "-d", "my_set"])
    assert (args.checkpoint_path, args.dataset) == (Path("my_file.pt"), "my_set")


def test_parser_several_values_are_lists():
    parser = command_line.Parser("Do it.")
    command_line.add_data_flags(parser, several=True)
    command_line.add_checkpoint_flag(parser, several=True)
    assert parser.parse_args([]).dataset == ["fakes_dataset"]
    args = parser.parse_args(["-d", "x", "y", "-cpp", "a", "b"])
    assert args.dataset == ["x", "y"]
    assert args.checkpoint_path == [Path("a"), Path("b")]


@pytest.mark.parametrize(
    "arguments", [["-m", "ResNet"], ["--limit", "0"], ["--nothing"], ["--batch", "3"]]
)
def test_parser_bad_flag_is_one_line_and_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        build_parser().parse_args(arguments)
    assert exit_.value.code == USER_ERROR_STATUS
    assert capsys.readouterr().err.count("\n") == 1


def test_parser_help_shows_defaults_where_there_are_some(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: SimpleNet)" in text
    assert "None" not in text
    assert "False" not in text
    assert "examples: one two" in text


def test_precisions_on_the_command_line_are_those_of_the_hardware():
    assert ("auto", *DTYPES) == PRECISIONS


def test_progress_not_on_a_terminal_is_silent(capsys):
    assert list(command_line.progress([1, 2], "work", total=2)) == [1, 2]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\n  b"), "a b"),
        (ValueError(), "ValueError"),
        (
            ValueError(
                "Caught ValueError in DataLoader worker process 0.\n"
                'Original Traceback (most recent call last):\n  File "x"\n'
                "ValueError: cannot read the image a: b\n"
            ),
            "cannot read the image a: b",
        ),
    ],
)
def test_describe_error_is_one_line(error, text):
    assert describe_error(error) == text


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValueError("no\ngood"), 2, "error: no good"),
        (FileNotFoundError("no file"), 2, "error: no file"),
        (FloatingPointError("the loss became nan"), 2, "error: the loss became nan"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_run_user_error_is_one_line_and_a_status(error, status, text, capsys):
    def main(argv):
        raise error

    with pytest.raises(SystemExit) as exit_:
        command_line.run(main)
    captured = capsys.readouterr()
    assert exit_.value.code == status
    assert captured.err.endswith(f": {text}\n")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("bug", [KeyError("a bug"), RuntimeError("a bug")])
def test_run_programming_error_keeps_its_traceback(bug):
    def main(argv):
        raise bug

    with pytest.raises(type(bug)):
        command_line.run(main)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("DataLoader worker (pid 3) is killed by signal: Killed.", "--workers 0"),
        ("DataLoader timed out after 600 seconds", "--workers 0"),
        ("CUDA out of memory. Tried to allocate", "smaller --batch-size"),
        ("[pair.cc:5] Connection reset by peer\nmore", "another process"),
    ],
)
def test_run_error_of_torch_that_the_user_can_mend_is_one_line(text, advice, capsys):
    def main(argv):
        raise RuntimeError(text)

    with pytest.raises(SystemExit) as exit_:
        command_line.run(main)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert error.count("\n") == 1
    assert advice in error


HOSTILE = "real\x1b[2K\rfake\nx \u202ey \u2028z \udcff\t\x9b"


def test_make_printable_leaves_nothing_that_a_terminal_obeys():
    printable = make_printable(HOSTILE)
    assert printable.isprintable()
    assert printable.startswith("real\\x1b[2K\\rfake\\nx \\u202ey")
    assert make_printable("Gesicht 顔 é.jpg") == "Gesicht 顔 é.jpg"


def test_say_prints_each_text_as_one_line(capsys):
    command_line.say(HOSTILE, "b")
    first, second = capsys.readouterr().out.split("\n")[:-1]
    assert first.isprintable()
    assert second == "b"


@pytest.mark.parametrize("error", [ValueError(HOSTILE), OSError(HOSTILE)])
def test_run_error_of_a_hostile_name_is_printable(error, capsys):
    def main(argv):
        raise error

    with pytest.raises(SystemExit):
        command_line.run(main)
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_parser_hostile_argument_is_printable(capsys):
    parser = command_line.Parser("test")
    parser.add_argument("--n", type=command_line.positive_int)
    with pytest.raises(SystemExit):
        parser.parse_args(["--n", HOSTILE])
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_run_terminal_that_is_not_utf_8_prints_all_the_same():
    program = (
        "import command_line; command_line.run(lambda argv: command_line.say('顔é'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"\\u9854\\xe9\n")


@pytest.mark.parametrize("status", [None, 0, 1])
def test_run_success_exits_with_the_status(status):
    with pytest.raises(SystemExit) as exit_:
        command_line.run(lambda argv: status)
    assert exit_.value.code == status


def test_run_reader_that_has_seen_enough_gets_no_traceback():
    program = (
        "import command_line\n"
        "command_line.run(lambda argv: [print('x' * 99) for _ in range(9999)])"
    )
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", program],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1
