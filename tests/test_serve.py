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
from typing import NamedTuple

import pytest
from browser import find_violations
from script_helpers import PROJECT, make_checkpoint, run_script

pytest.importorskip("flask", reason="requirements-page.txt is not installed")
pytest.importorskip("waitress", reason="requirements-page.txt is not installed")

pytestmark = pytest.mark.slow
DROP = """([selector, base64, name]) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "image/png" }));
  const options = { dataTransfer: data, bubbles: true, cancelable: true };
  document.querySelector(selector).dispatchEvent(new DragEvent("drop", options));
}"""


class Served(NamedTuple):
    """A page that is being served."""

    address: str
    checkpoint: Path
    process: subprocess.Popen


def start(checkpoint: Path, *flags: str) -> Served:
    process = subprocess.Popen(
        [sys.executable, "serve.py", "-cpp", checkpoint, "--no-browser", *flags],
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    found = None
    while not found:  # a line before it may say that no faces can be found
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        found = re.search(r"http://\S+", line)
    return Served(found[0], checkpoint, process)


def stop(served: Served) -> tuple[str, str]:
    served.process.send_signal(signal.SIGINT)
    return served.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    rows = [[0.0, 0.5, 1, 50], [0.5, 1.0, 47, 50]]
    make_checkpoint(path, temperature=0.01, reliability=rows)
    served = start(path, "--port", "0")
    yield served
    stop(served)


@pytest.fixture
def page(browser_page, served):
    """The page, opened; the test fails for an error in its console, or a request
    that goes anywhere else."""
    problems, requests = [], []
    browser_page.on(
        "console", lambda m: problems.append(m.text) if m.type == "error" else None
    )
    browser_page.on("pageerror", lambda error: problems.append(str(error)))
    browser_page.on("request", lambda request: requests.append(request.url))
    browser_page.goto(served.address)
    yield browser_page
    assert problems == []
    assert [u for u in requests if not u.startswith(("blob:", served.address))] == []


def test_dropped_picture_gets_its_verdict_and_maps(page, faces_root):
    image = (faces_root / "test" / "fake" / "01.png").read_bytes()

    page.evaluate(DROP, ["#zone", base64.b64encode(image).decode(), "01.png"])

    page.wait_for_selector("#result:not([hidden])")
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
    page.wait_for_selector("#result:not([hidden])")


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
    page.wait_for_selector("#result:not([hidden])")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert find_violations(page) == []


def test_script_warns_of_other_machines_and_ends_by_ctrl_c(served):
    other = start(served.checkpoint, "--port", "0", "--host", "0.0.0.0")

    output, errors = stop(other)

    assert other.address.startswith("http://127.0.0.1:")
    assert errors.startswith("warning: --host 0.0.0.0 lets other machines use this")
    assert (errors.count("\n"), output) == (1, "the page is closed\n")
    assert other.process.returncode == 0


def test_script_port_in_use_is_one_line_and_status_2(served):
    port = served.address.rstrip("/").rpartition(":")[2]

    result = run_script("serve.py", "-cpp", served.checkpoint, "--port", port)

    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"port {port} of 127.0.0.1 is in use; give another --port" in result.stderr


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
def test_server_keeps_no_upload_in_files(served):
    """A large body stays in memory: the server has no file open while it comes."""
    host, port = served.address.removeprefix("http://").rstrip("/").split(":")
    head = f"POST /judge HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 15000000"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode() + bytes(14_000_000))
        time.sleep(1)
        folder = Path(f"/proc/{served.process.pid}/fd")
        opened = [str(link.readlink()) for link in folder.iterdir()]
        assert not [name for name in opened if "/tmp" in name or "deleted" in name]
        connection.sendall(bytes(1_000_000))
        received = b""
        while b"not an image" not in received:
            part = connection.recv(10_000)
            assert part, received
            received += part
