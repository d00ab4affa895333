"""The page's requests: what is answered, and every refusal."""

import base64
import html
import io
import itertools
import json
import queue
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import pytest
from origin_files import make_huge_png
from PIL import Image
from script_helpers import make_checkpoint
from served_pages import build

import predict
import serve
from hardware import Precision
from judging import pictures
from judging.pictures import Picture, Reading
from judging.verdicts import Verdict
from loading.face_finding import Face
from loading.origin.traces import ABSENCE
from serving import server
from serving.app import Judge, draw_maps
from serving.guard import VIDEO, Limits
from serving.work import MOST_WAITING
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")
READING = Reading(faces=False, with_origin=True)


@pytest.fixture(scope="module")
def judge(tmp_path_factory, small_simple_net):
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    rows = [[0.0, 0.5, 1, 50], [0.5, 1.0, 47, 50]]
    entries = {"reliability": rows, "reliability_split": "test"}
    errors = {"none": [100, 5, 50, 1]}
    make_checkpoint(path, temperature=0.01, errors=errors, **entries)
    return Judge(load_checkpoint(path), Precision(), READING)


@pytest.fixture
def client(judge):
    return build(judge, Limits(0.1)).test_client()


@pytest.fixture
def fake(faces_root):
    return faces_root / "test" / "fake" / "00.png"


def open_png(picture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture["png"])))


def test_answer_is_the_verdict_of_predict_with_maps_and_words(
    client, judge, fake, tmp_path
):
    flags = ["--json", str(tmp_path / "a.jsonl"), "--precision", "fp32"]
    flags.append("--no-find-faces")
    predict.main(["-cpp", str(judge.detector.path), str(fake.parent), *flags])
    row = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])

    answer = client.post("/judge?name=00.png", data=fake.read_bytes()).json

    (face,) = answer["faces"]
    for name in ("fake_score", "llr", "verdict", "threshold", "real_below"):
        assert face[name] == row[name]
    ends = f"{row['lowest']:.3f} to {row['highest']:.3f}"
    assert face["notes"] == [
        f"P(fake) is from {ends} for it and its harmless versions."
    ]
    assert answer["checkpoint_sha256"] == row["checkpoint_sha256"]
    assert (answer["precision"], answer["device"]) == ("fp32", "cpu")
    titles = {"real": "Called real", "fake": "Called fake"}
    titles["inconclusive"] = "Inconclusive"
    headline = {"name": row["verdict"], "title": titles[row["verdict"]]}
    assert answer["headline"] == {**headline, "sentence": None}
    assert answer["looked"] == "Nobody checked whether it shows a face, or several."
    assert row["sha256"] in answer["origin"][1]
    assert answer["origin"][-1] == ABSENCE
    assert answer["picture"] is None
    captions = [picture["caption"] for picture in face["maps"]]
    assert captions[0].startswith("As the detector saw it; nobody has checked whether")
    called = "fake" if face["fake_score"] >= 0.5 else "real"
    assert captions[1:] == [
        f"Saliency of '{called}' (not checked); bright: the pixels that move the score "
        "most",
        f"Grad-CAM at conv3 of '{called}' (not checked); red: the map's maximum, blue: "
        "0",
    ]
    for picture in face["maps"]:
        assert len(picture["alt"]) > 20
        with open_png(picture) as drawn:
            assert drawn.size == (64, 64)
            assert np.ptp(np.asarray(drawn)) > 0


def test_generated_is_said_beside_the_headline_and_changes_no_score(client, fake):
    exif, plain = Image.Exif(), io.BytesIO()
    exif[0x0131] = "AI generated"  # the software
    marked = io.BytesIO()
    with Image.open(fake) as image:
        image.save(plain, "PNG")
        image.save(marked, "PNG", exif=exif)

    answers = [client.post("/judge", data=b.getvalue()).json for b in (plain, marked)]

    assert answers[0]["generated"] is None
    assert answers[1]["generated"].startswith("Its file says that it was generated")
    assert answers[0]["headline"] == answers[1]["headline"]
    assert answers[0]["faces"] == answers[1]["faces"]


def test_maps_of_a_detector_are_those_that_passed_or_none(judge):
    passed = {"randomisation": {}, "deletion": {}, "insertion": {}}
    entry = {"method": "layer-cam", "layer": "conv2", "sureness": 2.0, "checks": passed}
    sample, captions = np.zeros((64, 64, 3), np.uint8), []
    for has_passed in (True, False):
        maps = [{**entry, "passed": has_passed}]
        record = replace(judge.detector.record, maps=maps)
        detector = replace(judge.detector, record=record)
        verdict = Verdict(Picture("a.png", 64, 64), detector, 0.1, sample=sample)
        captions.append([drawn.caption for drawn in draw_maps(verdict, Precision())])

    assert captions[0][1:] == [
        "LayerCAM at conv2 of 'real' (passed: randomisation, deletion, insertion); "
        "red: the map's maximum, blue: 0"
    ]
    assert captions[1] == [
        "As the detector saw it; no kind of map passed the checks for this detector, "
        "so none is shown as a reason"
    ]


class Group(NamedTuple):
    """A picture, how to ask about it by a request's address, and who judges it."""

    ask: Callable
    judge: Judge
    data: bytes


@pytest.fixture
def group(judge, monkeypatch) -> Group:
    """A picture, 400 x 200, with a red face, a white one, and a small one."""
    boxes = ((218, 38, 318, 138), (18, 38, 118, 138), (348, 48, 388, 88))
    faces = [Face(box, 0.9, ()) for box in boxes]
    picture = Image.new("RGB", (400, 200), "red")
    picture.paste("white", (170, 0, 400, 200))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    monkeypatch.setattr(pictures, "find_faces", lambda picture: list(faces))
    looking = replace(judge, reading=replace(READING, faces=True))

    def ask(address: str, judge: Judge = looking):
        return build(judge).test_client().post(address, data=buffer.getvalue())

    return Group(ask, looking, buffer.getvalue())


def test_every_face_has_its_verdict_and_the_picture_its_number_of_looks(group):
    ask, judge = group.ask, group.judge

    answer = ask("/judge?name=group.png").json

    faces = answer["faces"]
    assert [face["number"] for face in faces] == [1, 2, 3]
    scores = [face["fake_score"] for face in faces]
    assert len(set(scores)) == 2  # the white one's and the small one's are alike
    assert faces[2]["verdict"] == "inconclusive"
    assert faces[2]["reasons"] == ["small face: 40 pixels high"]
    assert faces[2]["score"] is None
    assert "means nothing" in faces[2]["sentences"][1]
    assert [face["maps"] for face in faces] == [None] * 3
    assert answer["looked"].startswith("3 faces were found; they are numbered from le")
    assert answer["headline"]["name"] == "inconclusive"
    called = [face["verdict"] for face in faces]
    num_fake, num_real = (called.count(name) for name in ("fake", "real"))
    said = f"3 faces, {num_fake} called fake, {num_real} called real, "
    assert answer["headline"]["sentence"].startswith(said)
    assert ("(95 % interval " in answer["headline"]["sentence"]) == (num_fake > 0)
    with open_png(answer["picture"]) as drawn:
        assert drawn.size == (800, 400)
        middles = [drawn.getpixel(place) for place in ((136, 176), (536, 176))]
        assert middles == [(255, 0, 0), (255, 255, 255)]
    reading = replace(judge.reading, margin=4.0)
    wider = ask("/judge?name=a", replace(judge, reading=reading)).json
    assert wider["faces"][0]["fake_score"] != faces[0]["fake_score"]


def test_maps_of_a_face_come_when_they_are_asked_for(group):
    ask = group.ask

    first, second = (ask(f"/maps?name=a&face={number}").json["maps"] for number in "12")

    assert len(first) == len(second) == 3
    seen = [open_png(maps[0]).getpixel((32, 32)) for maps in (first, second)]
    assert seen == [(255, 0, 0), (255, 255, 255)]
    assert ask("/maps?face=4").json == {"error": "the picture has no face 4"}
    for face in ("0", "-1", "", "9" * 5000, "²", "1\n"):
        response = ask(f"/maps?face={quote(face)}")
        assert response.status_code == 400
        assert "there is no face" in response.json["error"]


def test_picture_without_a_face_gets_no_map_and_a_face_that_was_turned_says_so(
    group, monkeypatch
):
    monkeypatch.setattr(pictures, "find_faces", lambda picture: [])
    answer = group.ask("/judge?name=a").json
    (face,) = answer["faces"]
    assert answer["looked"] == "No face was found in it."
    assert (face["verdict"], face["score"], face["llr"]) == ("inconclusive", None, None)
    (sentence,) = face["sentences"]  # what was looked for is said above
    assert sentence.endswith(
        "If it shows a face, crop the picture to it, and try again."
    )
    assert answer["headline"]["title"] == "Inconclusive"
    assert [picture["caption"] for picture in face["maps"]] == [
        "As the detector saw it"
    ]
    faces = [Face((18, 38, 118, 138), 0.9, (), quarter_turns=q) for q in (0, 1)]
    monkeypatch.setattr(pictures, "find_faces", lambda picture: list(faces))
    said = [" ".join(f["sentences"]) for f in group.ask("/judge?name=a").json["faces"]]
    assert [("upright, by 90 degrees" in words) for words in said] == [False, True]


def test_report_is_the_page_of_predict_to_be_saved(group, tmp_path, monkeypatch):
    ask, judge = group.ask, group.judge
    name = "ä<b>.png"
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(group.data)
    flags = ["-cpp", str(judge.detector.path), "--find-faces", "--precision", "fp32"]
    monkeypatch.setattr("command_line.faces.FaceFinder", lambda: None)
    predict.main([*flags, name, "--report", "case.html"])

    response = ask(f"/report?name={quote(name)}")

    assert response.content_type == "text/html; charset=utf-8"
    named = "attachment; filename*=UTF-8''%C3%A4%3Cb%3E.png_case.html"
    assert response.headers["Content-Disposition"] == named
    changing = re.compile(r"<pre>.*?</pre>|20\d\d-\S+\+00:00", re.DOTALL)
    saved, sent = Path("case.html").read_text(), response.get_data(as_text=True)
    assert changing.sub("", sent) == changing.sub("", saved)
    again = "predict.py -cpp net.pt --no-find-faces --report case.html -- 'ä<b>.png'"
    assert f"<pre>python {again}</pre>" in html.unescape(sent)
    assert f"in the folder <code>{tmp_path}</code>" in sent
    assert "ä&lt;b&gt;.png, face 3" in sent
    assert "<b>" not in sent


def test_report_names_flags_by_which_predict_judges_alike():
    flags = ["--no-find-faces", "--least-height", "40", "--every", "0.5", "--margin"]
    flags += ["2", "--trusted", "a.pem", "--most-frames", "7"]
    given = ["-cpp", "net.pt", "--port", "1", "--no-browser", *flags]
    words = serve.list_words(serve.parse_args(given), Precision("bf16"))
    assert "--port" not in words
    ours, theirs = serve.parse_args(given), predict.parse_args([*words, "--", "a.png"])
    assert theirs.checkpoint_path == [ours.checkpoint_path]
    shared = ["find_faces", "margin", "least_height", "trusted", "every"]
    for name in (*shared, "most_frames"):
        assert getattr(theirs, name) == getattr(ours, name)
    assert (theirs.precision, theirs.device) == ("bf16", "cpu")
    assert "-cpp" not in serve.list_words(serve.parse_args([]), Precision())


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (b"no image", "a.jpg", "cannot read the image a.jpg: not an image file that"),
        (b"", "", "cannot read the image (unnamed): the file is empty"),
        (b"%PDF", "a.pdf", "a.pdf: it is a PDF: take the images out of it first"),
        (b"x", "a\n\x1b[2J", r"cannot read the image a\n\x1b[2J: not an image"),
        (make_huge_png(10_000, 10_000), "large.png", "and 89,478,485 in all)"),
        (b"x" * 100_001, "a.png", "the file is larger than 0.1 MB"),
    ],
)
def test_refusal_says_why(data, name, reason, client):
    response = client.post("/judge", query_string={"name": name}, data=data)

    assert list(response.json) == ["error"]
    assert response.status_code == (413 if "larger" in reason else 422)
    assert reason in response.json["error"]


@pytest.mark.parametrize(
    "path", ["/", "/judge", "/maps", "/report", VIDEO, "/static/page.js", "/none"]
)
def test_every_address_answers_its_own_page_alone(path, client):
    is_posted = path in ("/judge", "/maps", "/report", VIDEO)
    ask = client.post if is_posted else client.get
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        response = ask(path, headers=headers)
        assert response.status_code == 403
        assert "not answer" in response.json["error"]
    with ask(path) as response:
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self'; ")
        assert "unsafe" not in policy
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "http" not in response.text


def test_other_addresses_say_what_there_is(client):
    for path, what in (("/judge", "picture"), ("/maps", "picture"), (VIDEO, "video")):
        response = client.get(path)
        assert response.status_code == 405
        assert response.json == {"error": f"POST the {what}'s bytes to {path}"}
    assert client.post("/").json["error"].startswith("there is a page at /")
    assert client.get("/none").json == {
        "error": "there is a page at / and nothing else"
    }


def test_one_picture_is_judged_some_wait_and_others_are_turned_away(
    judge, fake, monkeypatch
):
    began, statuses = set(), queue.Queue()
    has_begun, go_on = threading.Event(), threading.Event()
    judge_at_once = Judge.judge

    def judge_slowly(*args, **options):
        began.add(threading.get_ident())
        has_begun.set()
        assert go_on.wait(30)
        return judge_at_once(*args, **options)

    monkeypatch.setattr(Judge, "judge", judge_slowly)
    app = build(judge)
    addresses = itertools.cycle(["/judge", "/report", "/maps?face=1"])

    def ask():
        response = app.test_client().post(next(addresses), data=fake.read_bytes())
        statuses.put(response.status_code)

    threads = [threading.Thread(target=ask) for _ in range(MOST_WAITING + 1)]
    for thread in threads:
        thread.start()
    assert statuses.get(timeout=30) == 503
    assert has_begun.wait(30)
    assert len(began) == 1
    go_on.set()
    for thread in threads:
        thread.join()
    ask()  # there is room again
    assert [statuses.get() for _ in threads] == [200] * (MOST_WAITING + 1)
    assert len(began) == 1  # one thread for all


@pytest.mark.parametrize("missing", ["flask", "waitress"])
def test_main_says_what_is_not_installed(missing, monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: name != missing)

    with pytest.raises(ValueError, match=f"(?i)needs {missing}: pip install -r"):
        serve.main(["-cpp", "none.pt"])
