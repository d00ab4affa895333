"""A run whose report can be written."""

import pytest
from reported_runs import make_files, write_page
from script_helpers import make_checkpoint, replace_simple_net

from reporting.runs import collect_runs


@pytest.fixture(scope="module", autouse=True)
def small_simple_net():
    """Lets SimpleNet have 24 thousand parameters, and see 64 pixels."""
    with replace_simple_net():
        yield


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A run's files. Read only."""
    with replace_simple_net():
        return make_files(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def run(files):
    """The same, judged: an AUC of 2/3, errors on both sides."""
    with replace_simple_net():
        return collect_runs([files.checkpoint], files.settings)[0]


@pytest.fixture(scope="session")
def single(files, tmp_path_factory):
    output = tmp_path_factory.mktemp("one") / "a.html"
    with replace_simple_net():
        return write_page([files.checkpoint], output, files)


@pytest.fixture(scope="session")
def triple(files, tmp_path_factory):
    """The page of three runs, two of older files without flags or history."""
    folder = tmp_path_factory.mktemp("three")
    names = "other.pt", "another-one-with-a-long-name.pt"
    with replace_simple_net():
        others = [make_checkpoint(folder / name, dataset="faces") for name in names]
        return write_page([files.checkpoint, *others], folder / "a.html", files)


@pytest.fixture(params=["single", "triple"])
def page_path(request):
    return request.getfixturevalue(request.param)
