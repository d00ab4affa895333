"""Tests of the script that writes a run as a page."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from reported_runs import make_files

import numerical_analysis
import report as script
from metrics.all_metrics import METRICS
from plots.style import get_interval

pytestmark = pytest.mark.usefixtures("small_simple_net")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A run's files. Read only."""
    return make_files(tmp_path_factory.mktemp("run"))


@pytest.fixture
def flags(files, tmp_path, monkeypatch):
    """What all calls share; they write to a folder of their own."""
    monkeypatch.chdir(tmp_path)
    root = str(files.settings.source.data_root)
    return ["--data-root", root, "--workers", "0", "--resamples", "100"]


@pytest.mark.slow
def test_numbers_are_those_of_numerical_analysis_and_the_page_is_reproducible(
    files, flags, no_figures
):
    flags = ["-cpp", str(files.checkpoint), "--seed", "3", "-b", "2", *flags]
    numerical_analysis.main([*flags, "-d", "faces"])
    numbers = json.loads(Path("figures/faces_SimpleNet_metrics.json").read_text())

    script.main(flags)
    script.main([*flags, "-o", "again.html"])

    page = Path("figures/faces_SimpleNet_Adam_report.html").read_text()
    (table,) = re.findall(r'<table class="numbers[^"]*">.*?</table>', page, re.S)
    found = " ".join(re.findall('<data value="([^"]+)"', table))
    assert [float(value) for value in found.split()] == [
        value
        for name in METRICS
        if numbers[name] is not None
        for value in (numbers[name], *(get_interval(numbers, name) or ()))
    ]
    again = Path("again.html").read_text()
    assert page.partition("<footer>")[0] == again.partition("<footer>")[0]


@pytest.mark.slow
def test_main_follows_its_flags_and_says_what_it_wrote(
    files, flags, tmp_path, no_plots, capsys
):
    history = tmp_path / "moved.json"
    history.write_bytes(files.history.read_bytes())
    flags = ["-cpp", str(files.checkpoint), "-d", "faces", *flags]
    flags += ["--history", str(history), "-o", "new/page.html"]

    script.main([*flags, "--split", "val", "--limit", "2"])

    assert capsys.readouterr().out.splitlines()[-1] == "wrote new/page.html"
    page = Path("new/page.html").read_text()
    assert "judged on the val split of faces (n = 4: 2 real and 2 fake images)" in page
    assert "<code>python report.py -cpp" in page
    assert f'<th scope="row">{history}</th>' in page


@pytest.mark.slow
def test_main_groups_have_their_numbers_beside_the_images(
    files, flags, tmp_path, no_plots
):
    for path in (files.settings.source.data_root / "faces" / "val").glob("*/*.png"):
        kind = path.parent.name
        copy = tmp_path / "data" / "faces" / "val" / kind / f"{kind}{path.name}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    flags = ["-cpp", str(files.checkpoint), *flags, "--data-root", "data"]
    flags += ["--split", "val", "-o", "page.html", "--group-score", "median"]

    script.main([*flags, "--group-by", r"^\w+\d"])

    page = Path("page.html").read_text()
    assert page.count('data-label="by group"') == len(METRICS)
    words = "By group: 3 real and 2 fake groups; the score of each is the median of"
    assert words in page.replace("\xa0", " ")
    assert "--group-score median" in page
    script.main([*flags, "--group-by", r"\d+"])
    page = Path("page.html").read_text().replace("\xa0", " ")
    assert "No group-level scores: 2 of 3 groups hold both" in page


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-d", "none"], "there is no dataset 'none'"),
        (["--history", "none.json"], "there is no history none.json"),
        (["-o", "/dev/null/x.html"], "cannot write to the folder"),
        (["-o", "."], "it is a folder"),
    ],
)
def test_bad_input_is_refused_before_the_work(
    files, flags, more, message, monkeypatch, refused
):
    monkeypatch.setattr(
        "judging.detector.Detector.score", lambda *_: pytest.fail("it began")
    )

    with refused(message, (ValueError, OSError)):
        script.main(["-cpp", str(files.checkpoint), *flags, *more])


@pytest.mark.slow
def test_scripts_start_without_what_only_some_calls_use():
    code = (
        "import sys, calibrate, grad_cam_analysis, publish, report, serve, train_main; "
        "late = {'pytorch_grad_cam', 'torchvision', 'scipy.stats', 'sklearn'}; "
        "sys.exit(str(found) if (found := late & sys.modules.keys()) else 0)"
    )
    root = Path(script.__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True)
    assert done.returncode == 0, done.stderr
