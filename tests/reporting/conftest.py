"""A run whose report can be written."""

from pathlib import Path

import pytest
from reported_runs import Files, make_files, write_page
from script_helpers import make_checkpoint

from hardware import Precision
from reporting.runs import Run, collect_runs


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A run's files. Read only."""
    return make_files(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def run(files: Files) -> Run:
    """The same, judged: an AUC of 0, errors on both sides."""
    (run,) = collect_runs([files.checkpoint], files.settings, Precision())
    return run


@pytest.fixture(scope="session")
def single(files, tmp_path_factory) -> Path:
    """The page of one run."""
    return write_page(
        [files.checkpoint], tmp_path_factory.mktemp("one") / "a.html", files
    )


@pytest.fixture(scope="session")
def double(files, tmp_path_factory) -> Path:
    """The page of two runs, the second of an older file without flags or history."""
    folder = tmp_path_factory.mktemp("two")
    other = make_checkpoint(folder / "other.pt", dataset="faces")
    return write_page([files.checkpoint, other], folder / "a.html", files)


@pytest.fixture(params=["single", "double"])
def page_path(request) -> Path:
    """Either page."""
    return request.getfixturevalue(request.param)
