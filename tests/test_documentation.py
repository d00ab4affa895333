"""README and docs: commands and Python blocks run as printed, flags and links exist."""

import argparse
import importlib
import re
import runpy
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import command_line

PROJECT = Path(__file__).resolve().parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
SCRIPTS = sorted(
    path.stem for path in PROJECT.glob("*.py") if "def parse_args" in path.read_text()
)
STARTS = ("python ", "python3 ", "pip ", "make ", "torchrun ")  # of a command's line
NO_VALUES = {"MODEL": "SimpleNet", "FLAGS": "", "... 9": ""}  # stand for others

# Small data instead of the demo's, and no download.
SMALL = {
    "make_demo_datasets": ["--images-per-class", "10", "--size", "64"],
    "train_main": ["--limit", "4", "-e", "1"],
    "numerical_analysis": ["--resamples", "20"],
    "report": ["--resamples", "20"],
    "extract_faces": ["--least-height", "1"],
}


def list_blocks(page: Path, language: str = "") -> list[str]:
    """Return a page's fenced blocks of a language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [block for its_language, block in blocks if its_language == language]


def list_commands() -> list[list[str]]:
    """Return each command of all pages' blocks once, as words, in reading order."""
    commands: list[list[str]] = []
    for block in (block for page in PAGES for block in list_blocks(page)):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split(" && ") if line.startswith(STARTS) else ():
                words = shlex.split(part, comments=True)
                if words not in commands:
                    commands.append(words)
    return commands


def list_inline_commands() -> list[str]:
    """Return what stands in backquotes and starts with `python`."""
    text = "\n".join(page.read_text() for page in PAGES)
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return sorted({" ".join(c.split()) for c in re.findall(r"`(python [^`]+)`", text)})


def run_command(words: Sequence[str]) -> None:
    """Run a script of the suite on small data; of anything else check what can be."""
    if words[0] == "make":
        assert f"\n{words[1]}:" in (PROJECT / "Makefile").read_text()
    elif "-r" in words:
        assert (PROJECT / words[words.index("-r") + 1]).exists()
    elif words[0] == "torchrun" or "benchmarks/" in words[1]:
        parse_command(words)
    elif words[0] == "python":
        name, arguments = words[1].removesuffix(".py"), words[2:]
        small = SMALL.get(name, [])
        if name == "train_main" and {"XceptionBased", "--recipe"} & set(arguments):
            small = [*small, "--from-scratch"]
        assert not importlib.import_module(name).main([*arguments, *small])


def parse_command(words: Sequence[str]) -> None:
    """Check a command's flags without running it."""
    number = next(i for i, word in enumerate(words) if word.endswith(".py"))
    script = runpy.run_path(str(PROJECT / words[number]))
    script["parse_args"](list(words[number + 1 :]))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where every command of the pages has run, in reading order."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "folder").mkdir()
    for name in ("scores", "val", "test"):
        rows = [
            f"{name}{n}.png,{n / 40},{'fake' if n % 3 else 'real'},v{n // 4}"
            for n in range(40)
        ]
        header = "path,score,label,video"
        (folder / f"{name}.csv").write_text("\n".join([header, *rows]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in list_commands():
            print(shlex.join(words))
            run_command(words)
            if "make_demo_datasets.py" in words:
                photo = min(folder.glob("datasets/fakes_dataset/val/real/*"))
                shutil.copy(photo, folder / "photo.jpg")
                for name in ("photos/a", "videos/real/b", "videos/fake/b"):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(photo, folder / f"{name}.jpg")
                shutil.copy(photo, folder / "folder")
            if "train_main.py" in words and not (folder / "B.pt").exists():
                (checkpoint,) = folder.glob("checkpoints/*_Adam.pt")
                for name in ("A.pt", "B.pt"):
                    shutil.copy(checkpoint, folder / name)
    return folder


@pytest.mark.slow
def test_commands_run_as_printed(workplace):
    for name in ("fakes_dataset_SimpleNet_roc_curve.png", "comparison_metrics.json"):
        assert (workplace / "figures" / name).exists()
    assert (workplace / "verdicts.csv").exists()


@pytest.mark.slow
def test_python_blocks_run_as_printed(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    for page in PAGES:
        names: dict[str, object] = {}
        for block in list_blocks(page, "python"):
            exec(block, names)
    assert "FacesDataset(" in capsys.readouterr().out


@pytest.mark.parametrize("command", list_inline_commands())
def test_commands_within_sentences_have_flags_that_exist(command):
    for placeholder, value in NO_VALUES.items():
        command = command.replace(placeholder, value)
    parse_command(shlex.split(command))


@pytest.mark.parametrize("name", SCRIPTS)
def test_flags_of_every_script_are_in_the_pages(name, monkeypatch):
    parsers: list[argparse.ArgumentParser] = []
    monkeypatch.setattr(
        command_line.Parser, "parse_args", lambda p, _: stop(p, parsers)
    )
    with pytest.raises(StopIteration):
        importlib.import_module(name).parse_args([])
    text = "\n".join(page.read_text() for page in PAGES)
    missing = [
        flag
        for action in parsers[0]._actions
        for flag in action.option_strings
        if flag.startswith("--") and not re.search(rf"{flag}(?![a-z-])", text)
    ]
    assert missing == []


def stop(
    parser: argparse.ArgumentParser, parsers: list[argparse.ArgumentParser]
) -> None:
    parsers.append(parser)
    raise StopIteration


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_every_page_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert [
        link
        for link in links
        if not link.startswith("https://") and not (page.parent / link).exists()
    ] == []
