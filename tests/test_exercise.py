"""The notebook: it is what its script says, and runs from top to bottom."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "exercise.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")
SMALL = {
    "IMAGES_PER_CLASS = 600": "IMAGES_PER_CLASS = 10",
    "EPOCHS = 5": "EPOCHS = 1",
    '"make_demo_datasets.py --images': '"make_demo_datasets.py --size 64 --images',
    "-d fakes_dataset --checks": "-d fakes_dataset --checks 4",
    '"numerical_analysis.py': '"numerical_analysis.py --resamples 100',
    '"report.py': '"report.py --resamples 100',
}


def test_notebook_is_current_and_without_outputs():
    made = jupytext.read(SCRIPT).cells
    written = json.loads(NOTEBOOK.read_text())["cells"]
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in written]
    assert cells == [(cell.cell_type, cell.source) for cell in made], (
        "make it again: python -m jupytext --update --to ipynb docs/exercise.py"
    )
    assert [cell for cell in written if cell.get("outputs")] == []


def test_questions_are_numbered_and_figures_are_followed_by_one():
    text = SCRIPT.read_text()
    numbers = list(map(int, re.findall(r"\*\*Question (\d+)\.\*\*", text)))
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(re.findall(r"^show\(", text, re.M)) == len(
        re.findall(r"^show\((?:[^*]|\*(?!\*))*?\*\*Question", text, re.M)
    )


@pytest.mark.slow
def test_exercise_runs_from_top_to_bottom(tmp_path, monkeypatch, small_simple_net):
    shown = []
    stand_in = SimpleNamespace(Image=lambda filename: filename, display=shown.append)
    # Matplotlib asks which version it is.
    package = SimpleNamespace(display=stand_in, version_info=(9, 0))
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", stand_in)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(SCRIPT.parent)
    code = SCRIPT.read_text()
    work = f"Path({str(tmp_path)!r})"
    for given, small in {**SMALL, 'root / "exercise"': work}.items():
        assert given in code
        code = code.replace(given, small)
    exec(compile(code, SCRIPT.name, "exec"), {})
    assert Path.cwd() == tmp_path
    assert len(shown) > 10
    assert [name for name in shown if not (tmp_path / name).stat().st_size] == []
    assert (tmp_path / "figures" / "fakes_dataset_SimpleNet_Adam_report.html").exists()
