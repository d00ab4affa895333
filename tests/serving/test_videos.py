"""Videos on the page: verdicts, progress, what ends them, and that nothing is left."""

import gc
import json
import re
import weakref
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from script_helpers import let_squares_be_faces, make_checkpoint, make_clip, wait_until
from served_pages import build

import predict
from hardware import Precision
from judging import clips
from judging.pictures import Reading
from loading.videos import frames
from serving import work
from serving.app import Judge
from serving.guard import VIDEO, Limits
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")
HANGING = """
import os, sys, time
open({note!r}, "w").write(str(os.getpid()))
sys.stdout.buffer.write(b'{{"seconds": 2, "size": [400, 200], "lasts": 8}}\\n')
sys.stdout.buffer.write(bytes(3 * 400 * 200))
sys.stdout.flush()
time.sleep(60)
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "ä<b>.avi")


@pytest.fixture
def judge(tmp_path, small_simple_net, monkeypatch) -> Judge:
    """It looks for faces, which no network finds."""
    let_squares_be_faces(monkeypatch)
    monkeypatch.setattr(work, "PULSE", 0.02)
    monkeypatch.setattr(work, "PATIENCE", 0.02)
    detector = load_checkpoint(make_checkpoint(tmp_path / "net.pt", temperature=0.01))
    return Judge(detector, Precision(), Reading(with_origin=True))


def send(app, data: bytes, name: str = "a.avi") -> list[dict]:
    """Send a video; return what came of it, the answer last."""
    response = app.test_client().post(VIDEO, query_string={"name": name}, data=data)
    return list(map(json.loads, response.text.splitlines()))


def list_open_videos() -> list[str]:
    names = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by another thread meanwhile
            names.append(str(link.readlink()))
    return [name for name in names if "memfd:video" in name]


@pytest.mark.slow
def test_answer_is_what_predict_says_of_the_video(judge, clip, monkeypatch):
    monkeypatch.chdir(clip.parent)
    flags = ["-cpp", str(judge.detector.path), "--precision", "fp32", clip.name]
    predict.main([*flags, "--json", "a.jsonl", "--report", "case.html"])
    rows = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]

    *progress, answer = send(build(judge), clip.read_bytes(), clip.name)

    assert [(p["seconds"], p["lasts"]) for p in progress][-1] == (7.0, 8.0)
    assert [p["seconds"] for p in progress] == sorted(p["seconds"] for p in progress)
    persons = answer["faces"]
    assert [person["label"] for person in persons] == ["Person 1", "Person 2"]
    for person, row in zip(persons, rows, strict=True):
        for name in ("fake_score", "llr", "verdict", "threshold", "real_below"):
            assert person[name] == row[name]
        assert [p["caption"][:9] for p in person["shown"]] == ["most real", "most fake"]
    assert "6 of 6 frames judged, from 2 s to 7 s." in persons[1]["sentences"]
    lowest = f"lowest {rows[1]['lowest_stretch']:.2f} from "
    assert lowest in " ".join(persons[1]["sentences"])
    assert answer["headline"]["sentence"].startswith(
        "2 persons, 0 called fake, 2 called real"
    )
    assert answer["looked"].startswith("8 frames, one every 1 s, from 0 s to 7 s; to")
    assert answer["picture"]["caption"] == "Time line"
    assert rows[0]["sha256"] in answer["origin"][1]
    assert "count as one image" in answer["limits"][-1]
    assert answer["note"] == ""
    changing = re.compile(r"<pre>.*?</pre>|20\d\d-\S+\+00:00", re.DOTALL)
    saved = Path("case.html").read_text()
    assert changing.sub("", answer["report"]) == changing.sub("", saved)
    assert list_open_videos() == []


@pytest.mark.slow
def test_video_that_is_refused_says_why(judge, clip, monkeypatch):
    data, short = clip.read_bytes(), Limits(video_megabytes=0.5, video_seconds=7.5)

    (text,) = send(build(judge), b"text")[-1:]
    (long,) = send(build(judge, short), data)[-1:]
    (large,) = send(build(judge, short), bytes(500_001))
    blind = replace(judge, reading=Reading(faces=False))
    (unseen,) = send(build(blind), data)[-1:]
    *_, broken = send(build(judge), data[: len(data) * 3 // 4])
    monkeypatch.setattr(work, "LONGEST_WORK", -60)
    (slow,) = send(build(judge), data)[-1:]

    start_of = "cannot read the video a.avi: "
    assert text["error"].startswith(f"{start_of}it is damaged, or not a video in MP4")
    said = "it lasts 8.0 s, and at most 7.5 s are taken"
    assert long == {"error": f"{start_of}{said}"}
    assert large == {"error": "the file is larger than 0.5 MB"}
    assert "its faces must be found" in unseen["error"]
    assert broken["note"].startswith(f"{start_of}it breaks off after ")
    assert broken["headline"]["name"] == "inconclusive"
    assert len(broken["faces"]) == 2
    assert slow["error"].endswith("more than -1 minutes to judge: send a part of it")


def test_video_without_a_face_is_inconclusive(judge, clip, monkeypatch):
    monkeypatch.setattr(clips, "find_faces", lambda picture: [])

    answer = send(build(judge), clip.read_bytes())[-1]

    (nobody,) = answer["faces"]
    assert nobody["sentences"] == ["No face was found in it, in 8 frames."]
    assert answer["headline"]["title"] == "Inconclusive"
    assert (answer["picture"], nobody["shown"]) == (None, [])
    assert "Case report: 1 video" in answer["report"]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["page", "server"])
def test_video_lets_pictures_through_and_is_gone_once_it_is_stopped(
    by, judge, clip, tmp_path, faces_root, monkeypatch
):
    note, script = tmp_path / "note", tmp_path / "decoder.py"
    script.write_text(HANGING.format(note=str(note)))
    with monkeypatch.context() as patch:
        patch.setattr(frames, "_DECODER", script)
        app = build(judge)
        stream = app.test_client().post(VIDEO, data=clip.read_bytes(), buffered=False)
        lines = map(json.loads, stream.response)
        while next(lines) != {"seconds": 2, "lasts": 8}:
            pass
        assert len(list_open_videos()) == 1

        picture = (faces_root / "test" / "fake" / "00.png").read_bytes()
        between = app.test_client().post("/judge", data=picture)
        other = app.test_client().post(VIDEO, data=clip.read_bytes())

        assert between.json["headline"]["title"] == "Inconclusive"
        assert other.status_code == 503
        assert other.json["error"].startswith("another video is being judged: try")
        if by == "page":
            stream.close()
        else:
            app.extensions["worker"].stop()
            assert all(set(line) == {"seconds", "lasts"} for line in lines)
            stream.close()
        wait_until(lambda: not list_open_videos())
        assert not Path(f"/proc/{note.read_text()}").exists()
    if by == "page":
        wait_until(lambda: "faces" in send(app, clip.read_bytes())[-1])  # there is room


def test_body_that_was_not_waited_for_is_turned_away(judge):
    environ = {"CONTENT_LENGTH": "9", "wsgi.input_terminated": True}
    response = build(judge).test_client().post(VIDEO, environ_overrides=environ)
    assert response.status_code == 503
    assert response.json == {"error": "other videos are on their way: try again"}


def test_worker_that_was_stopped_begins_no_video_that_waited():
    worker = work.Worker()
    worker.stop()
    for _ in range(2):  # the place of the first one is free again
        with pytest.raises(work.BusyError, match="being closed"):
            worker.watch(lambda file, heed: {}, None, 10)


def test_run_lets_go_of_what_failed():
    class Task:
        def __call__(self) -> None:
            raise ValueError("broken")

    task, done = Task(), Future()
    known = weakref.ref(task)
    gc.disable()
    try:
        work._run(task, done)
        del task, done
        assert known() is None
    finally:
        gc.enable()
