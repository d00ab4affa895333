"""The page's requests: what is answered, and every refusal."""

import base64
import io
import json
import signal
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_helpers import make_broken_checkpoint, make_checkpoint, make_huge_png

pytest.importorskip("flask", reason="requirements-page.txt is not installed")
pytest.importorskip("waitress", reason="requirements-page.txt is not installed")

import predict
import serve
from hardware import Precision, choose_precision, prepare_device
from judging import pictures
from judging.pictures import read_faces
from judging.verdicts import Detector, load_detector, score_samples
from loading.face_finding import Face
from serving import app as app_module
from serving import server
from serving.app import MOST_WAITING, build_app

RELIABILITY = [[0.0, 0.5, 1, 50], [0.5, 1.0, 47, 50]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    return make_checkpoint(path, temperature=0.01, reliability=RELIABILITY)


@pytest.fixture(scope="module")
def detector(checkpoint) -> Detector:
    return load_detector(checkpoint, choose_precision("auto", prepare_device("cpu")))


@pytest.fixture
def client(detector):
    return build_app(detector, most_megabytes=0.1).test_client()


def encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def test_judge_gives_the_float_of_predict(client, checkpoint, faces_root, tmp_path):
    image, table = faces_root / "test" / "fake" / "00.png", tmp_path / "a.jsonl"

    response = client.post("/judge?name=00.png", data=image.read_bytes())

    predict.main(["-cpp", str(checkpoint), str(image.parent), "--json", str(table)])
    row = json.loads(table.read_text().splitlines()[0])
    assert response.status_code == 200
    for name in ("fake_score", "llr", "verdict", "threshold", "warning"):
        assert response.json[name] == row[name]
    assert response.json["headline"] == "Called fake"


def test_judge_returns_the_picture_and_both_maps_with_words(client, faces_root):
    image = faces_root / "test" / "fake" / "00.png"

    pictures = client.post("/judge", data=image.read_bytes()).json["pictures"]

    captions = ["As the detector saw it", "Grad-CAM", "Saliency"]
    assert [picture["caption"] for picture in pictures] == captions
    assert all(len(picture["alt"]) > 20 for picture in pictures)
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture["png"]))) as drawn:
            assert drawn.size == (256, 256)
            assert np.ptp(np.asarray(drawn)) > 0


def test_judge_says_how_many_validation_images_were_fake(client, faces_root):
    image = faces_root / "test" / "fake" / "00.png"

    answer = client.post("/judge", data=image.read_bytes()).json

    assert answer["fake_score"] > 0.5
    assert (
        "Of the 50 validation images with the scores most like this"
        in (answer["sentences"][0])
    )
    assert answer["sentences"][0].endswith("47 were fake.")
    assert answer["sentences"][1].startswith("48 of all 100 validation images were")


def test_judge_with_an_older_checkpoint_says_what_is_not_known(tmp_path, faces_root):
    old = load_detector(make_checkpoint(tmp_path / "old.pt"), Precision())
    data = (faces_root / "test" / "fake" / "00.png").read_bytes()

    answer = build_app(old).test_client().post("/judge", data=data).json

    assert "is not known: the checkpoint was written before" in answer["sentences"][0]


def test_judge_what_is_no_face_crop_gets_no_confident_verdict(client):
    data = encode(Image.new("RGB", (192, 108), "red"))

    answer = client.post("/judge", data=data).json

    assert answer["headline"] == "Uncertain"
    assert answer["warning"] == "no face crop: 192 x 108"
    assert not any("were fake" in sentence for sentence in answer["sentences"])


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (b"no image", "a.jpg", "cannot read the image a.jpg: not an image file that"),
        (b"", "a.jpg", "cannot read the image a.jpg: the file is empty"),
        (b"%PDF", "a.pdf", "a.pdf is a PDF: take the images out of it first"),
        (b"x", "../../etc/passwd", "cannot read the image ../../etc/passwd: not an im"),
        (b"x", "a\n\x1b[2J", r"cannot read the image a\n\x1b[2J: not an image"),
        (
            make_huge_png(20_000, 10_000),
            "large.png",
            "cannot read the image large.png: it has too many pixels to be opened "
            "safely (200000000 pixels; at most 89,478,485)",
        ),
        (make_huge_png(10_000, 10_000), "100.png", " pixels; at most 89,478,485)"),
    ],
)
def test_judge_says_in_words_what_it_cannot_read(data, name, reason, client):
    response = client.post("/judge", query_string={"name": name}, data=data)

    assert list(response.json) == ["error"]
    assert reason in response.json["error"]


def test_judge_broken_model_is_an_error(tmp_path, faces_root):
    broken = load_detector(make_broken_checkpoint(tmp_path / "net.pt"), Precision())
    data = (faces_root / "test" / "fake" / "00.png").read_bytes()

    response = build_app(broken).test_client().post("/judge?name=a.png", data=data)

    assert response.json == {"error": "the model gives a.png no finite score"}


def test_judge_a_file_that_is_too_large_names_the_limit(client):
    response = client.post("/judge", data=b"x" * 100_001)
    assert response.status_code == 413
    assert response.json == {"error": "the file has more than 0.1 MB"}


@pytest.mark.parametrize("path", ["/", "/judge", "/static/page.js", "/none"])
@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}]
)
def test_every_address_refuses_other_pages(path, headers, client):
    method = client.post if path == "/judge" else client.get
    response = method(path, headers=headers)
    assert response.status_code == 403
    assert "not answer" in response.json["error"]


def test_other_addresses_say_what_there_is(client):
    assert client.get("/judge").status_code == 405
    response = client.get("/none")
    assert response.status_code == 404
    assert response.json == {"error": "there is a page at / and nothing else"}


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/static/page.css", "/none"])
def test_every_answer_forbids_what_is_not_from_here(path, client):
    with client.get(path) as response:
        headers = response.headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self'; ")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_page_names_nothing_outside(client):
    for path in ("/", "/static/page.js", "/static/page.css"):
        with client.get(path) as response:
            assert "http" not in response.text


def test_judge_answers_some_at_a_time_and_tells_the_others(
    detector, faces_root, monkeypatch
):
    """One is judged, some wait, the next is told so; after that there is room again."""
    began, go_on = threading.Semaphore(0), threading.Event()
    judge_data = app_module.judge_data

    def judge_slowly(*args):
        began.release()
        assert go_on.wait(30)
        return judge_data(*args)

    monkeypatch.setattr(app_module, "judge_data", judge_slowly)
    app, statuses = build_app(detector), []
    data = (faces_root / "test" / "fake" / "00.png").read_bytes()

    def ask():
        statuses.append(app.test_client().post("/judge", data=data).status_code)

    threads = [threading.Thread(target=ask) for _ in range(MOST_WAITING)]
    for thread in threads:
        thread.start()
    assert began.acquire(timeout=30)
    while app.test_client().post("/judge", data=b"").status_code != 503:
        assert began.acquire(timeout=0) is False  # none but the first is judged
    go_on.set()
    for thread in threads:
        thread.join()
    assert statuses == [200] * MOST_WAITING
    assert app.test_client().post("/judge", data=data).status_code == 200


def test_open_socket_says_that_a_port_is_in_use():
    with server.open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert server.get_address(taken) == f"http://127.0.0.1:{port}/"
        with pytest.raises(ValueError, match=f"port {port} of 127.0.0.1 is in use"):
            server.open_socket("127.0.0.1", port)


def test_open_socket_refuses_a_host_that_is_not_there(monkeypatch):
    def fail(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ValueError, match="there is no host 'nowhere'"):
        server.open_socket("nowhere", 0)


@pytest.mark.parametrize("missing", ["flask", "waitress"])
def test_main_says_what_is_not_installed(missing, monkeypatch, checkpoint):
    monkeypatch.setattr(server, missing, None)
    with pytest.raises(ValueError, match=f"(?i)needs {missing}: pip install -r"):
        serve.main(["-cpp", str(checkpoint)])


def test_judge_of_a_larger_picture_marks_its_faces_and_shows_the_most_fake(
    detector, monkeypatch
):
    boxes = [(20, 20, 60, 60), (120, 20, 160, 60)]
    faces = [Face(box, 0.9, ()) for box in boxes]
    monkeypatch.setattr(pictures, "find_faces", lambda picture: faces)
    picture = Image.new("RGB", (200, 100), (230, 20, 20))  # reddish is real
    picture.paste((20, 20, 230), (100, 0, 200, 100))
    data = encode(picture)

    client = build_app(detector, face_side=1.35).test_client()
    answer = client.post("/judge?name=both.png", data=data).json

    assert answer["warning"] is None
    assert answer["face"].startswith("2 faces were found; this is said of face ")
    boxed, *others = answer["pictures"]
    assert (boxed["width"], boxed["height"], len(others)) == (800, 400, 3)
    scores = [read_faces(Path("both.png"), side=1.35, data=data)[n][1] for n in (0, 1)]
    judged = [score_samples(sample[None], detector)[0][0] for sample in scores]
    assert answer["fake_score"] == max(judged) != min(judged)
    monkeypatch.setattr(pictures, "find_faces", lambda picture: [])
    whole = client.post("/judge?name=both.png", data=data).json
    assert whole["warning"] == "no face crop: 200 x 100"
    assert (whole["face"], len(whole["pictures"])) == (None, 3)


def test_open_socket_says_which_host_cannot_be_listened_at():
    with pytest.raises(ValueError, match=r"cannot listen at port 0 of 192\.0\.2\.1"):
        server.open_socket("192.0.2.1", 0)  # a documentation's address


def test_serve_answers_until_it_is_interrupted_and_hangs_up():
    with server.open_socket("127.0.0.1", 0) as listening:

        def answer(environ, start_response):
            start_response("200 OK", [("Content-Length", "5")])
            return [b"hello"]

        def ask_and_interrupt():
            connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            while chunk := connection.recv(1000):
                answers.append(chunk)
                if chunk.endswith(b"hello"):
                    break
            signal.raise_signal(signal.SIGINT)

        answers = []
        with socket.create_connection(listening.getsockname(), 30) as connection:
            asking = threading.Thread(target=ask_and_interrupt)
            asking.start()
            server.serve(answer, listening, most_bytes=10)
            asking.join()
            assert connection.recv(1) == b""
    assert b"".join(answers).startswith(b"HTTP/1.1 200 OK")
