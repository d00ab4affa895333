"""The page's requests: what is answered, and every refusal."""

import base64
import io
import json
import queue
import re
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from script_helpers import make_broken_checkpoint, make_checkpoint, make_huge_png

pytest.importorskip("flask", reason="requirements-page.txt is not installed")
pytest.importorskip("waitress", reason="requirements-page.txt is not installed")

import predict
import serve
from hardware import Precision
from judging import pictures
from loading import ImageFile
from loading.face_finding import Face
from serving import server
from serving.app import MOST_WAITING, Judge, build_app, draw_maps
from utils import load_checkpoint


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    rows = [[0.0, 0.5, 1, 50], [0.5, 1.0, 47, 50]]
    make_checkpoint(path, temperature=0.01, reliability=rows)
    return Judge(load_checkpoint(path), Precision())


@pytest.fixture
def client(judge):
    return build_app(judge, most_megabytes=0.1).test_client()


@pytest.fixture
def fake(faces_root):
    return faces_root / "test" / "fake" / "00.png"


def test_answer_is_the_verdict_of_predict_with_maps_and_words(
    client, judge, fake, tmp_path
):
    flags = ["--json", str(tmp_path / "a.jsonl"), "--precision", "fp32"]
    predict.main(["-cpp", str(judge.detector.path), str(fake.parent), *flags])
    row = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])

    answer = client.post("/judge?name=00.png", data=fake.read_bytes()).json

    for name in ("fake_score", "llr", "verdict", "threshold", "warning"):
        assert answer[name] == row[name]
    assert answer["headline"] == "Called fake"
    assert answer["sentences"][0].startswith("Of the 50 validation images with the sco")
    assert answer["sentences"][0].endswith("47 were fake.")
    captions = [picture["caption"] for picture in answer["pictures"]]
    assert captions[0].startswith("As the detector saw it; nobody has checked whether")
    assert captions[1:] == ["Saliency (not checked)", "Grad-CAM at conv3 (not checked)"]
    for picture in answer["pictures"]:
        assert len(picture["alt"]) > 20
        with Image.open(io.BytesIO(base64.b64decode(picture["png"]))) as drawn:
            assert drawn.size == (256, 256)
            assert np.ptp(np.asarray(drawn)) > 0


def test_maps_of_a_detector_are_those_that_passed_or_none(judge):
    passed = {"randomisation": {}, "deletion": {}, "insertion": {}}
    entry = {"method": "layer-cam", "layer": "conv2", "sureness": 2.0, "checks": passed}
    sample, captions = torch.zeros(3, 256, 256, dtype=torch.uint8), []
    for has_passed in (True, False):
        maps = [{**entry, "passed": has_passed}]
        record = replace(judge.detector.record, maps=maps)
        detector = replace(judge.detector, record=record)
        verdict = SimpleNamespace(sample=sample, label=0, detector=detector)
        pictures = draw_maps(verdict, Precision())
        captions.append([picture["caption"] for picture in pictures])

    assert captions[0][1:] == [
        "LayerCAM at conv2 (passed: randomisation, deletion, insertion)"
    ]
    assert captions[1] == [
        "As the detector saw it; no kind of map passed the checks for this detector, "
        "so none is shown as a reason"
    ]


def test_larger_picture_gets_a_verdict_on_its_most_fake_face_or_none_to_trust(
    judge, monkeypatch
):
    faces = [Face(box, 0.9, ()) for box in ((18, 18, 82, 82), (118, 18, 182, 82))]
    picture = Image.new("RGB", (200, 100), "red")
    picture.paste("white", (100, 0, 200, 100))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")

    def ask(found, margin=None):
        monkeypatch.setattr(pictures, "find_faces", lambda picture: found)
        finder = replace(judge, finds_faces=True, margin=margin)
        client = build_app(finder).test_client()
        return client.post("/judge?name=both.png", data=buffer.getvalue()).json

    judged, wider, whole = ask(faces), ask(faces, margin=4.0), ask([])

    assert judged["warning"] is None
    assert judged["face"].startswith("2 faces were found; this is said of face ")
    scores = re.findall(r"P\(fake\)\D(\d\.\d+)", judged["face"])
    assert scores[0] != scores[1]
    assert f"{judged['fake_score']:.3f}" == max(scores)
    boxed, *others = judged["pictures"]
    assert (boxed["width"], boxed["height"], len(others)) == (800, 400, 3)
    assert judged["fake_score"] != wider["fake_score"]
    assert whole["warning"] == "not a face crop: 200 x 100"
    assert (whole["face"], whole["headline"]) == (None, "Uncertain")
    assert not any("were fake" in sentence for sentence in whole["sentences"])


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (b"no image", "a.jpg", "cannot read the image a.jpg: not an image file that"),
        (b"", "", "cannot read the image the file: the file is empty"),
        (b"%PDF", "a.pdf", "a.pdf: it is a PDF: take the images out of it first"),
        (b"x", "a\n\x1b[2J", r"cannot read the image a\n\x1b[2J: not an image"),
        (make_huge_png(10_000, 10_000), "large.png", "and 89,478,485 in all)"),
        (b"x" * 100_001, "a.png", "the file is larger than 0.1 MB"),
    ],
)
def test_refusal_says_why(data, name, reason, client):
    response = client.post("/judge", query_string={"name": name}, data=data)

    assert list(response.json) == ["error"]
    assert reason in response.json["error"]


def test_broken_network_is_an_error(tmp_path, fake):
    broken = load_checkpoint(make_broken_checkpoint(tmp_path / "net.pt"))

    answer = Judge(broken, Precision()).answer(ImageFile(fake))

    assert answer == {"error": f"the network gives {fake} no finite score"}


@pytest.mark.parametrize("path", ["/", "/judge", "/static/page.js", "/none"])
def test_every_address_answers_its_own_page_alone(path, client):
    ask = client.post if path == "/judge" else client.get
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
    assert client.get("/judge").status_code == 405
    assert client.get("/none").json == {
        "error": "there is a page at / and nothing else"
    }


def test_one_picture_is_judged_some_wait_and_others_are_turned_away(
    judge, fake, monkeypatch
):
    began, statuses, go_on = set(), queue.Queue(), threading.Event()
    judge_at_once = Judge.judge

    def judge_slowly(*args):
        began.add(threading.get_ident())
        assert go_on.wait(30)
        return judge_at_once(*args)

    monkeypatch.setattr(Judge, "judge", judge_slowly)
    app = build_app(judge)

    def ask():
        response = app.test_client().post("/judge", data=fake.read_bytes())
        statuses.put(response.status_code)

    threads = [threading.Thread(target=ask) for _ in range(MOST_WAITING + 1)]
    for thread in threads:
        thread.start()
    assert statuses.get(timeout=30) == 503
    assert len(began) == 1
    go_on.set()
    for thread in threads:
        thread.join()
    ask()  # there is room again
    assert [statuses.get() for _ in threads] == [200] * (MOST_WAITING + 1)
    assert len(began) == 1  # one thread for all


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", r"cannot listen at port 0 of 192\.0\.2\.1"),  # for documentation
        ("nowhere.invalid", "there is no host 'nowhere.invalid'"),
    ],
)
def test_socket_that_cannot_be_opened_says_why(host, reason):
    with pytest.raises(ValueError, match=reason):
        server.open_socket(host, 0)


@pytest.mark.parametrize("missing", ["flask", "waitress"])
def test_main_says_what_is_not_installed(missing, monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: name != missing)

    with pytest.raises(ValueError, match=f"(?i)needs {missing}: pip install -r"):
        serve.main(["-cpp", "none.pt"])
