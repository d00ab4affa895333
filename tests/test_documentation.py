"""README and docs: commands and Python blocks run as printed, flags and links exist."""

import importlib
import re
import runpy
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import make_help
import pytest

from metrics.summary import bootstrap_metrics

PROJECT = Path(__file__).resolve().parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
STARTS = ("python ", "python3 ", "pip ", "make ", "torchrun ")  # of a command's line
NO_VALUES = {"MODEL": "SimpleNet", "FLAGS": ""}  # stand for others
DOWNLOADS = {"XceptionBased", "--recipe", "--weights", "timm:resnet18.a1_in1k"}
SMALL = {  # data, instead of the demo's
    "make_demo_datasets": ["--images-per-class", "10", "--size", "64"],
    "train_main": ["--limit", "4", "-e", "1"],
    "robustness_analysis": ["--limit", "2"],
    "numerical_analysis": ["--resamples", "100"],
    "report": ["--resamples", "100"],
    "extract_faces": ["--least-height", "1", "--shares", "1", "0", "0"],
}


def list_blocks(page: Path, language: str = "") -> list[str]:
    """Return a page's fenced blocks of a language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [block for its_language, block in blocks if its_language == language]


def list_commands() -> list[list[str]]:
    """Return each command of all pages' blocks, as words, in reading order."""
    return [
        shlex.split(command, comments=True)
        for page in PAGES
        for block in list_blocks(page)
        for line in block.splitlines()
        if line.startswith(STARTS)
        for command in line.split(" && ")
    ]


def list_inline_commands() -> list[list[str]]:
    """Return what stands in backquotes within a sentence and starts with `python`."""
    text = "\n".join(page.read_text() for page in PAGES)
    for pattern, value in {r"^```.*?^```": "", **NO_VALUES}.items():
        text = re.sub(pattern, value, text, flags=re.M | re.S)
    return [shlex.split(command) for command in re.findall(r"`(python [^`]+)`", text)]


def list_flags(words: Sequence[str]) -> set[str]:
    """Return a command's script and flags, without their values."""
    return {word for word in words if word.startswith("-") or word.endswith(".py")}


def choose_runs(commands: Sequence[list[str]]) -> list[list[str]]:
    """Choose the scripts to run: no other call has all their flags, nor a download."""
    flags = [list_flags(words) for words in commands]
    return [
        words
        for number, words in enumerate(commands)
        if words[0] == "python" and words[1].endswith(".py")
        if not any(flags[number] < others for others in flags)
        if flags[number] not in flags[:number]
        if not DOWNLOADS & set(words)
    ]


def prepare_inputs(words: Sequence[str]) -> None:
    """Make the pictures and checkpoints that a command takes for granted."""
    for path in (Path(word) for word in words if not Path(word).exists()):
        if path.suffix == ".pt":
            start = Path("checkpoints/fakes_dataset_SimpleNet_Adam")
            trained = Path(f"{start}_{path.name}")  # by a command above
            shutil.copy(trained if trained.exists() else f"{start}.pt", path)
        elif path.suffix == ".jpg" or path.parts[:1] in (("photos",), ("videos",)):
            target = path if path.suffix else path / f"{path.parts[0]}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(min(Path().glob("datasets/fakes_dataset/val/real/*")), target)


@pytest.mark.slow
def test_commands_and_python_blocks_run_as_printed(
    tmp_path, monkeypatch, capsys, small_simple_net
):
    monkeypatch.chdir(tmp_path)
    # Where there is no flag for it.
    monkeypatch.setitem(bootstrap_metrics.__kwdefaults__, "num_resamples", 20)
    for name in ("val", "test"):
        rows = [f"{name}{n},{n / 40},{'fake' if n % 3 else 'real'}" for n in range(40)]
        Path(f"{name}.csv").write_text("\n".join(["path,score,label", *rows]))
    for words in choose_runs(list_commands()):
        print(shlex.join(words))
        prepare_inputs(words)
        name = words[1].removesuffix(".py")
        arguments = [*words[2:], *SMALL.get(name, [])]
        assert not importlib.import_module(name).main(arguments)
    for page in PAGES:
        names: dict[str, object] = {}
        for block in list_blocks(page, "python"):
            exec(block, names)
    assert "FacesDataset(" in capsys.readouterr().out


@pytest.mark.slow
def test_commands_that_are_not_run_have_flags_and_files_that_exist():
    commands = list_commands()
    runs = choose_runs(commands)
    others = [words for words in commands if words not in runs]
    for words in others + list_inline_commands():
        number = next((n for n, w in enumerate(words) if w.endswith(".py")), None)
        if words[0] == "make":
            assert f"\n{words[1]}:" in (PROJECT / "Makefile").read_text()
        elif words[0] == "pip":
            assert (PROJECT / words[-1]).exists()
        elif number is not None:
            script = runpy.run_path(str(PROJECT / words[number]))
            script.get("parse_args", list)(list(words[number + 1 :]))


def test_page_of_every_flag_is_current():
    # Python 3.13 and later print "-e, --epochs N" for "-e N, --epochs N".
    value = r"(-\w+) (?:{[^}]*}|[A-Z]+(?: \[[A-Z]+ \.\.\.\])?), (?=-)"
    written, made = (
        " ".join(re.sub(value, r"\1, ", text).split())
        for text in (make_help.PAGE.read_text(), make_help.make_page())
    )
    assert written == made, "write it again: python tests/make_help.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_wrapped_and_its_links_lead_somewhere(page):
    text = page.read_text()
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    local = [link for link in links if not link.startswith("https://")]
    assert [link for link in local if not (page.parent / link).exists()] == []
    prose = re.sub(r"^(```.*?^```|[|!].*?)$", "", text, flags=re.M | re.S)
    width = 120 if page.name == "README.md" else 100
    assert [line for line in prose.splitlines() if len(line) > width] == []
