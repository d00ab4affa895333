"""The page in a browser, and its script as a process."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from browser import find_violations
from PIL import Image
from script_helpers import PROJECT, make_checkpoint, make_huge_png, run_script

import predict

pytest.importorskip("flask", reason="requirements-page.txt is not installed")
pytest.importorskip("waitress", reason="requirements-page.txt is not installed")

pytestmark = pytest.mark.slow
SIZES = {"wide": (1366, 900), "narrow": (390, 844)}
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
        [sys.executable, "serve.py", "-cpp", str(checkpoint), "--no-browser", *flags],
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    found = re.search(r"http://\S+", line)
    assert found, line + process.communicate()[1]
    return Served(found[0], checkpoint, process)


def stop(served: Served) -> tuple[str, str]:
    served.process.send_signal(signal.SIGINT)
    return served.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
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
    browser_page.problems = problems
    yield browser_page
    assert browser_page.problems == []
    outside = ("blob:", served.address)
    assert [url for url in requests if not url.startswith(outside)] == []


def read_status(page) -> str:
    page.wait_for_selector("#status.error")
    return page.inner_text("#status")


def test_drop_an_image_gives_the_verdict_of_predict(page, served, faces_root, tmp_path):
    image, table = faces_root / "test" / "fake" / "01.png", tmp_path / "a.jsonl"
    predict.main(["-cpp", str(served.checkpoint), str(image), "--json", str(table)])
    expected = json.loads(table.read_text())

    page.evaluate(DROP, ["#zone", encode_base64(image), "01.png"])

    page.wait_for_selector("#result:not([hidden])")
    score = page.get_attribute("#score", "data-value")
    assert float(score) == expected["fake_score"]
    assert page.inner_text("#headline") == f"Called {expected['verdict']}"
    assert f"{expected['fake_score']:.3f}" in page.inner_text("#score")
    assert "47 were fake" in page.inner_text("#sentences")
    assert page.locator("#pictures img").count() == 3
    shown = "[...document.querySelectorAll('img')].every(i => i.complete && i.alt)"
    assert page.evaluate(shown)
    assert page.get_attribute("#result", "aria-live") == "polite"


def encode_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_keyboard_alone_chooses_a_picture(page, faces_root):
    # From now on, as it takes a moment until the browser gives its dialog away.
    page.on("filechooser", lambda chooser: None)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    outline = "getComputedStyle(document.querySelector('#zone')).outlineStyle"
    assert page.evaluate(outline) == "solid"
    with page.expect_file_chooser() as chosen:
        page.keyboard.press("Enter")
    chosen.value.set_files(faces_root / "test" / "real" / "00.png")
    page.wait_for_selector("#result:not([hidden])")


def test_text_that_is_called_an_image_is_refused(page, tmp_path):
    (tmp_path / "letter.jpg").write_text("no image")
    page.set_input_files("#file", tmp_path / "letter.jpg")
    assert "not an image" in read_status(page)
    assert page.is_hidden("#result")


def test_200_megapixels_are_refused_with_the_limit(page, tmp_path):
    (tmp_path / "large.png").write_bytes(make_huge_png(20_000, 10_000))
    page.set_input_files("#file", tmp_path / "large.png")
    status = read_status(page)
    assert "too many pixels" in status
    assert "at most 89,478,485" in status


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(page, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(20_000_001))
    page.set_input_files("#file", tmp_path / "large.png")
    assert read_status(page) == "large.png has more than 20 MB."


def test_no_face_crop_is_uncertain(page, tmp_path):
    Image.new("RGB", (1920, 1080), "red").save(tmp_path / "wide.png")
    page.set_input_files("#file", tmp_path / "wide.png")
    page.wait_for_selector("#result:not([hidden])")
    assert page.inner_text("#headline") == "Uncertain"
    assert "no face crop: 1920 x 1080" in page.inner_text("#warning")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_page_fits_and_is_accessible(size, scheme, page, faces_root):
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    page.set_input_files("#file", faces_root / "test" / "fake" / "00.png")
    page.wait_for_selector("#result:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert find_violations(page) == []


def test_script_ctrl_c_ends_it_with_status_0(served):
    other = start(served.checkpoint, "--port", "0")
    output, errors = stop(other)
    assert other.process.returncode == 0
    assert (output, errors) == ("the page is closed\n", "")


def test_script_port_in_use_is_one_line_and_status_2(served):
    port = served.address.rstrip("/").rpartition(":")[2]

    result = run_script("serve.py", "-cpp", served.checkpoint, "--port", port)

    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"port {port} of 127.0.0.1 is in use; give another --port" in result.stderr


def test_script_host_beyond_this_machine_gives_a_warning(served):
    other = start(served.checkpoint, "--port", "0", "--host", "0.0.0.0")
    _, errors = stop(other)
    assert errors.startswith("warning: --host 0.0.0.0 lets other machines use this")
    assert other.address.startswith("http://127.0.0.1:")


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
