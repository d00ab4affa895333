"""The page in a browser, and its script as a process."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from browser import find_violations
from script_helpers import PROJECT, make_checkpoint, run_script

pytest.importorskip("flask", reason="requirements-page.txt is not installed")
pytest.importorskip("waitress", reason="requirements-page.txt is not installed")

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
    for line in process.stdout:  # the first may say that no faces can be found
        if found := re.search(r"http://\S+/", line):
            return process, found[0]
    raise AssertionError(process.communicate()[1])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    rows = [[0.0, 0.5, 1, 50], [0.5, 1.0, 47, 50]]
    return make_checkpoint(path, temperature=0.01, reliability=rows)


@pytest.fixture(scope="module")
def served(checkpoint):
    process, address = start(checkpoint, "--port", "0")
    yield process, address
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


@pytest.fixture
def page(browser_page, served):
    """The page, opened; no error in its console and no request elsewhere may follow."""
    heard = []
    browser_page.on("console", lambda message: heard.append(message.type))
    browser_page.on("pageerror", lambda error: heard.append(str(error)))
    browser_page.on("request", lambda request: heard.append(request.url))
    browser_page.goto(served[1])
    yield browser_page
    assert [text for text in heard if not text.startswith(("blob:", served[1]))] == []


def test_dropped_picture_gets_its_verdict_and_maps(page, faces_root):
    image = (faces_root / "test" / "fake" / "01.png").read_bytes()

    page.evaluate(DROP, [base64.b64encode(image).decode(), "01.png"])

    page.wait_for_selector(RESULT)
    score = float(page.get_attribute("#score", "data-value"))
    assert page.inner_text("#headline") == "Called fake"
    assert f"{score:.3f}" in page.inner_text("#score")
    assert "47 were fake" in page.inner_text("#sentences")
    assert page.locator("#pictures img").count() == 3
    shown = "[...document.querySelectorAll('img')].every(i => i.complete && i.alt)"
    assert page.evaluate(shown)
    assert page.get_attribute("#result", "aria-live") == "polite"


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_fits_and_breaks_no_rule_of_accessibility(width, scheme, page, faces_root):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.set_input_files("#file", faces_root / "test" / "fake" / "00.png")
    page.wait_for_selector(RESULT)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert find_violations(page) == []


def test_script_warns_of_other_machines_and_hangs_up_at_ctrl_c(checkpoint):
    process, address = start(checkpoint, "--port", "0", "--host", "0.0.0.0")
    host, port = re.findall(r"[^/:]+", address)[1:]

    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"GET /none HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 404"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)

    assert host == "127.0.0.1"
    assert errors.startswith("warning: --host 0.0.0.0 lets other machines use this")
    assert (errors.count("\n"), output) == (1, "the page is closed\n")
    assert process.returncode == 0


def test_script_port_in_use_is_one_line_and_status_2(checkpoint, served):
    port = served[1].rstrip("/").rpartition(":")[2]

    result = run_script("serve.py", "-cpp", checkpoint, "--port", port)

    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"port {port} of 127.0.0.1 is in use; give another --port" in result.stderr


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
