"""The benchmark of hostile videos sees what goes wrong."""

import subprocess
import sys
from subprocess import PIPE

import pytest
import video_reading

from loading.videos import frames


@pytest.fixture(autouse=True)
def same_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let main change how long a decoder may work until the test ends."""
    monkeypatch.setattr(frames, "SILENT", frames.SILENT)


@pytest.mark.parametrize(
    ("found", "status", "line"),
    [
        ((12, ""), 0, "read: 22"),
        ((3, "it breaks off"), 1, "sound but not whole: 2"),
        ((12, "the decoder gave no frame for 60 seconds"), 1, "hung: 22"),
        ((12, "the decoder crashed"), 0, "the decoder crashed or failed: 22"),
    ],
)
def test_main_counts_what_became_of_videos(found, status, line, monkeypatch, capsys):
    monkeypatch.setattr(video_reading, "read", lambda path: found)
    assert video_reading.main(["--videos", "22"]) == status
    assert line in capsys.readouterr().out.splitlines()


def test_list_children_names_what_was_started():
    before = video_reading.list_children()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=PIPE) as child:
        assert {p.name for p in video_reading.list_children() - before} == {
            str(child.pid)
        }
        child.kill()
    assert video_reading.list_children() == before


@pytest.mark.slow
def test_main_reads_videos_and_opens_no_address(capsys):
    assert video_reading.main(["--videos", "4", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "addresses opened: 0" in lines
    assert "decoders left: 0" in lines
