"""Tests of the script that writes a run as a page."""

import json
import re
from pathlib import Path

import pytest
from reported_runs import make_files
from script_helpers import make_broken_checkpoint, run_script

import numerical_analysis
import report as script
from metrics.names import METRICS, get_interval


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


def test_numbers_are_those_of_numerical_analysis(files, flags):
    flags = ["-cpp", str(files.checkpoint), "--seed", "3", "-b", "2", *flags]
    numerical_analysis.main([*flags, "-d", "faces"])
    numbers = json.loads(Path("figures/faces_SimpleNet_metrics.json").read_text())

    script.main(flags)

    page = Path("figures/faces_SimpleNet_Adam_report.html").read_text()
    (table,) = re.findall(r'<table class="numbers[^"]*">.*?</table>', page, re.S)
    rows = re.findall(r'<th scope="row">([^<]+)</th>(.*?)</tr>', table, re.S)
    found = {
        name.replace("&#39;", "'"): [
            float(value)
            for values in re.findall(r'<data value="([^"]+)"', row)
            for value in values.split()
        ]
        for name, row in rows
    }
    assert found == {
        metric.words: []
        if numbers[name] is None
        else [numbers[name], *(get_interval(numbers, name) or [])]
        for name, metric in METRICS.items()
    }


def test_main_follows_its_flags_and_says_what_it_wrote(files, flags, tmp_path, capsys):
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


def test_main_of_a_broken_network_writes_nothing(flags, tmp_path, one_line):
    checkpoint = make_broken_checkpoint(tmp_path / "broken.pt")

    with pytest.raises(ValueError, match="its weights are of no use") as error:
        script.main(["-cpp", str(checkpoint), "-d", "faces", *flags])

    one_line(error)
    assert not Path("figures").exists()


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
    files, flags, more, message, monkeypatch, one_line
):
    monkeypatch.setattr(
        "judging.detector.Detector.score", lambda *_: pytest.fail("it began")
    )

    with pytest.raises((ValueError, OSError), match=message) as error:
        script.main(["-cpp", str(files.checkpoint), *flags, *more])

    one_line(error)


def test_history_of_several_checkpoints_is_refused(capsys):
    with pytest.raises(SystemExit) as error:
        script.parse_args(["-cpp", "a.pt", "b.pt", "--history", "c"])

    assert error.value.code == 2
    assert "--history goes with one checkpoint" in capsys.readouterr().err


def test_script_without_a_checkpoint_exits_with_one_line_and_status_2(tmp_path):
    result = run_script("report.py", "-cpp", tmp_path / "none.pt")

    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "there is no checkpoint" in result.stderr
