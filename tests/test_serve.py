"""The page in a browser, and its script as a process."""

import base64
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from browser import find_violations, listen
from script_helpers import PROJECT, let_squares_be_faces, make_checkpoint, make_clip
from served_pages import build, run_server

from hardware import Precision
from judging.pictures import Reading
from loading.videos import frames
from serving.app import Judge
from utils import load_checkpoint

pytestmark = pytest.mark.slow
DROP = """([encoded, name]) => {
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "image/png" }));
  const options = { dataTransfer: data, bubbles: true, cancelable: true };
  document.querySelector("#zone").dispatchEvent(new DragEvent("drop", options));
}"""
RESULT = "#result:not([hidden])"


def start(checkpoint: Path, *flags: str) -> tuple[subprocess.Popen, str]:
    """Start the script; return its process and the page's address."""
    process = subprocess.Popen(
        [sys.executable, "serve.py", "-cpp", checkpoint, "--no-browser", *flags],
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:  # the first may be notes
        if found := re.search(r"http://\S+/", line):
            return process, found[0]
    raise AssertionError(process.communicate()[1])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    rows = [[0.0, 0.5, 1, 50], [0.5, 1.0, 47, 50]]
    return make_checkpoint(path, temperature=10.0, reliability=rows)


@pytest.fixture(scope="module")
def served(checkpoint):
    process, address = start(checkpoint, "--port", "0", "--no-find-faces")
    yield process, address
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


@pytest.fixture
def page(browser_page, served):
    """The page, opened; no error in its console and no request elsewhere may follow.

    That a picture was refused, the browser notes there by itself.
    """
    heard = listen(browser_page)
    browser_page.goto(served[1])
    yield browser_page
    heard = [text for text in heard if "status of 422" not in text]
    assert [text for text in heard if not text.startswith(("blob:", served[1]))] == []


def test_dropped_picture_gets_verdict_maps_and_report_which_fit_and_break_no_rule(
    page, faces_root, tmp_path
):
    image = (faces_root / "test" / "fake" / "01.png").read_bytes()

    page.evaluate(DROP, [base64.b64encode(image).decode(), "01.png"])

    page.wait_for_selector(RESULT)
    score = float(page.get_attribute(".score", "data-value"))
    called = "fake" if score >= 0.5 else "real"
    assert page.inner_text("#headline") == f"Called {called}"
    assert f"{score:.3f}" in page.inner_text(".score")
    assert page.locator(".scale .mark").count() == 1
    assert "95 % interval" in page.inner_text(".sentences")
    assert "absence proves nothing" in page.inner_text("#origin")
    assert "Nobody checked" in page.inner_text("#looked")
    assert page.locator("#faces img").count() == 3
    shown = "[...document.querySelectorAll('img')].every(i => i.complete && i.alt)"
    assert page.evaluate(shown)
    assert page.get_attribute("#answer", "aria-live") == "polite"
    with page.expect_download() as saved:
        page.click("#report")
    assert saved.value.suggested_filename == "01.png_case.html"
    saved.value.save_as(tmp_path / "case.html")
    text = (tmp_path / "case.html").read_text()
    assert "Case report: 1 picture</h1>" in text
    assert "python predict.py -cpp " in text
    for width, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert find_violations(page) == []


PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
    "RU5ErkJggg=="
)
PICTURE = {"caption": "Seen", "alt": "a dot", "width": 9, "height": 9, "png": PIXEL}


def make_face(number: int, verdict: str) -> dict[str, object]:
    """A face of an answer, as the server sends it."""
    score = "P(fake)=0.900" if verdict == "fake" else None
    bounds = {"real_below": 0.2, "threshold": 0.6, "bounds": "between 0.2 and 0.6"}
    said = {"title": f"Called {verdict}", "sentences": ["So <b>it</b> is."]}
    said["notes"] = ["From 0.8 to 0.9."] if verdict == "fake" else []
    known = {"number": number, "verdict": verdict, "fake_score": 0.9, "score": score}
    named = {"label": f"Face {number}", "shown": [], "maps": None}
    return {**known, **bounds, **said, **named}


@pytest.fixture
def group(page):
    """The page with an answer on two faces; returns what was asked for."""
    faces = [make_face(1, "fake"), make_face(2, "inconclusive")]
    answer = {
        "name": "group.png",
        "size": "9 x 9",
        "headline": {"name": "fake", "title": "Called fake", "sentence": "2 faces."},
        "looked": "2 faces were found.",
        "picture": PICTURE,
        "faces": faces,
        "limits": ["It may err."],
        "checkpoint_sha256": "abc",
        "precision": "fp32",
        "device": "cpu",
        "origin": [],
    }
    asked = []

    def reply(route):
        asked.append(route.request.url.partition("/maps?")[2])
        is_busy = len(asked) == 2
        route.fulfill(json={"error": "try again"} if is_busy else {"maps": [PICTURE]})

    page.route("**/judge?*", lambda route: route.fulfill(json=answer))
    page.route("**/maps?*", reply)
    data = {"name": "a.png", "mimeType": "image/png", "buffer": b"x"}
    page.set_input_files("#file", data)
    page.wait_for_selector(RESULT)
    return asked


def test_several_faces_have_a_card_each_and_maps_when_asked_for(group, page):
    titles = page.locator("#faces h3").all_inner_texts()
    assert titles == ["Face 1: Called fake", "Face 2: Called inconclusive"]
    assert page.inner_text("#sentence") == "2 faces."
    assert "So <b>it</b> is." in page.inner_text(".face.fake .sentences")
    assert page.locator(".scale").count() == 1
    assert page.locator(".face.inconclusive .score").count() == 0
    assert page.locator(".bound").count() == 2
    assert page.is_hidden("#origin")
    hints = page.locator(".face.fake .hint").all_inner_texts()
    assert hints == ["Between 0.2 and 0.6.", "From 0.8 to 0.9."]
    page.click("text=Who judged")
    assert "SHA-256 abc, computed in fp32 on cpu" in page.inner_text("details")
    assert page.is_hidden("#generated")
    assert page.locator("img").count() == 1

    page.focus("text=Show what it looked at in face 2")
    page.keyboard.press("Enter")
    page.wait_for_selector(".face.inconclusive img")
    assert group == ["name=a.png&face=2"]
    # The button is gone; whoever reads by ear goes on where the maps are.
    assert page.evaluate("document.activeElement.className").endswith("inconclusive")

    page.click("text=Show what it looked at in face 1")  # refused, and once more
    page.wait_for_selector("#status.error")
    assert page.inner_text("#status") == "try again"
    page.click("text=Show what it looked at in face 1")
    page.wait_for_selector(".face.fake img")
    assert find_violations(page) == []


def test_keyboard_alone_chooses_a_picture(page, faces_root):
    page.on("filechooser", lambda chooser: None)  # early: the browser takes a moment
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    outline = "getComputedStyle(document.querySelector('#zone')).outlineStyle"
    assert page.evaluate(outline) == "solid"
    with page.expect_file_chooser() as chosen:
        page.keyboard.press("Enter")
    chosen.value.set_files(faces_root / "test" / "real" / "00.png")
    page.wait_for_selector(RESULT)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"text", "not an image"), (bytes(20_000_001), "a.jpg is larger than 20 MB.")],
)
def test_refused_file_is_said_in_words(data, reason, page, tmp_path):
    (tmp_path / "a.jpg").write_bytes(data)

    page.set_input_files("#file", tmp_path / "a.jpg")

    page.wait_for_selector("#status.error")
    assert reason in page.inner_text("#status")
    assert page.is_hidden("#result")


@pytest.fixture
def judge(checkpoint, monkeypatch) -> Judge:
    """It looks for faces, which no network finds."""
    let_squares_be_faces(monkeypatch)
    detector, reading = load_checkpoint(checkpoint), Reading(with_origin=True)
    return Judge(detector, Precision(), reading)


SLOW = """
import sys, time
for seconds in (0, 3):
    head = b'{"seconds": %d, "size": [400, 200], "lasts": 8}\\n' % seconds
    sys.stdout.buffer.write(head + bytes(3 * 400 * 200))
    sys.stdout.flush()
time.sleep(60)
"""


def test_video_says_how_far_it_is_is_cancelled_and_is_judged(
    browser_page, judge, tmp_path, monkeypatch
):
    clip, script = make_clip(tmp_path / "clip.avi"), tmp_path / "decoder.py"
    script.write_text(SLOW)
    page, heard = browser_page, []
    page.on("pageerror", lambda error: heard.append(str(error)))
    with run_server(build(judge)) as (host, port):
        page.goto(f"http://{host}:{port}")
        with monkeypatch.context() as patch:
            patch.setattr(frames, "_DECODER", script)
            page.set_input_files("#file", clip)
            page.wait_for_selector("text='3 of 8 s'")
            assert page.get_attribute("#progress", "value") == "3"
            assert find_violations(page) == []
            page.focus("#file")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            page.wait_for_selector("#watch", state="hidden")
            assert page.inner_text("#status") == "Cancelled: nothing was judged."
            assert page.evaluate("document.activeElement.id") == "file"

        page.set_input_files("#file", clip)
        page.wait_for_selector(RESULT)
        titles = page.locator("#faces h3").all_inner_texts()
        assert [title[:9] for title in titles] == ["Person 1:", "Person 2:"]
        assert page.locator("#picture img").count() == 1
        assert page.locator("#faces img").count() == 4
        assert "8 frames, one every 1 s" in page.inner_text("#looked")
        with page.expect_download() as saved:
            page.click("#report")
        assert saved.value.suggested_filename == "clip.avi_case.html"
        saved.value.save_as(tmp_path / "case.html")
        assert "Case report: 1 video</h1>" in (tmp_path / "case.html").read_text()
        for width, scheme in itertools.product((1280, 390), ("light", "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.is_visible(".sideways") == (width == 390)
            assert find_violations(page) == []
    assert heard == []


def test_script_warns_of_other_machines_and_hangs_up_at_ctrl_c(checkpoint):
    process, address = start(checkpoint, "--port", "0", "--host", "0.0.0.0")
    host, port = re.findall(r"[^/:]+", address)[1:]

    with socket.create_connection((host, int(port)), timeout=30) as connection:
        # As a container's port is published at another one.
        connection.sendall(b"GET /none HTTP/1.1\r\nHost: localhost:9000\r\n\r\n")
        assert connection.makefile("rb").read(12) == b"HTTP/1.1 404"
        text = (PROJECT / "Dockerfile").read_text()
        check = json.loads(re.search(r'CMD (\["python", "-c", .*\])', text)[1])[2]
        assert ":8000/" in check
        own = check.replace(":8000/", f":{port}/")
        subprocess.run([sys.executable, "-c", own], check=True)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)

    assert host == "127.0.0.1"
    assert errors.startswith("warning: --host 0.0.0.0 lets other machines use this")
    assert (errors.count("\n"), output) == (1, "the page is closed\n")
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
def test_server_keeps_no_upload_in_files(served):
    """A large body stays in memory: the server has no file open while it comes."""
    process, address = served
    host, port = re.findall(r"[^/:]+", address)[1:]
    head = f"POST /judge HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 15000000"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode() + bytes(14_000_000))
        time.sleep(1)
        folder = Path(f"/proc/{process.pid}/fd")
        opened = [str(link.readlink()) for link in folder.iterdir()]
        assert not [name for name in opened if "/tmp" in name or "deleted" in name]
        connection.sendall(bytes(1_000_000))
        received = b""
        while b"not an image" not in received:
            part = connection.recv(10_000)
            assert part, received
            received += part
