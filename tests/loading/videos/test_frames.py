"""Frames come from a process that may crash, hang or lie, and ends with its reader."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hostile_videos import encode
from script_helpers import PROJECT, wait_until

from loading import ImageFile
from loading.videos import decoder
from loading.videos import frames as reading
from loading.videos.frames import Sampling, is_video, read_frames

OFTEN = Sampling(every=0.1)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twelve frames within 1.2 seconds, each brighter by ten grey levels."""
    (tmp_path / "clip.mp4").write_bytes(encode(".mp4"))
    return tmp_path / "clip.mp4"


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen]:
    """The processes that are started."""
    started = []

    def start(*arguments: object, **options: object) -> subprocess.Popen:
        started.append(subprocess.Popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(reading, "Popen", start)
    return started


@pytest.mark.parametrize(
    "name",
    ["http:/12:30 %02d.mp4", "tcp:x.mp4", "-i.mp4", "concat:a|b.mp4", "lat\udce9.mp4"],
)
def test_read_frames_takes_any_name_for_a_file(name, video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    video.rename(path)
    assert is_video(path)
    frames = list(read_frames(path, Sampling(every=0.5, most_frames=2)))
    assert [seconds for seconds, _ in frames] == [0, 0.5]
    levels = [np.asarray(picture).mean() for _, picture in frames]
    assert np.allclose(levels, [0, 50], atol=3)


def test_read_frames_of_what_is_not_a_file_says_so(tmp_path, refused):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.mp4").symlink_to("nothing")
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    for name, reason in (
        ("pipe", "it is not a file"),
        ("folder", "it is a folder"),
        ("link", "a broken link"),
        ("device", "it is not a file"),
        ("none", "there is no such file"),
    ):
        path = tmp_path / f"{name}.mp4"
        with refused(f"^cannot read the video {path}: {reason}$"):
            next(read_frames(path))


@pytest.mark.slow
@pytest.mark.parametrize("has_memory_files", [True, False])
def test_read_frames_of_bytes_are_those_of_the_file(
    has_memory_files, video, tmp_path, monkeypatch
):
    if not has_memory_files:
        monkeypatch.delattr(os, "memfd_create", raising=False)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    told = []
    file = ImageFile("elsewhere.mp4", video.read_bytes())
    for (seconds, picture), expected in zip(
        read_frames(file, OFTEN, lambda *how_far: told.append(how_far)),
        read_frames(video, OFTEN),
        strict=True,
    ):
        assert seconds == expected.seconds
        assert picture.tobytes() == expected.picture.tobytes()
        assert told[-1] == (seconds, pytest.approx(1.2))
        assert list(tmp_path.iterdir()) == [video]  # nothing with a name
    assert seconds > 1


def test_read_frames_says_why_they_are_not_wanted(video, decoders):
    def refuse(seconds: float, lasts: float | None) -> None:
        if seconds > 0.2:
            raise ValueError("it is boring")

    with pytest.raises(ValueError, match=f"cannot read the video {video}: it is bor"):
        list(read_frames(video, OFTEN, refuse))
    assert decoders[0].returncode is not None


HANGING = """
import sys, time
sys.stdout.buffer.write(b'{"seconds": 0, "size": [1, 1]}\\nRGB')
sys.stdout.flush()
time.sleep(60)
"""


def test_read_frames_closed_early_leaves_no_process(video, decoders, monkeypatch):
    script = video.with_name("decoder.py")
    script.write_text(HANGING)
    monkeypatch.setattr(reading, "_DECODER", script)
    frames, start = read_frames(video, OFTEN), time.monotonic()
    assert next(frames).picture.getpixel((0, 0)) == tuple(b"RGB")
    assert decoders[0].poll() is None
    frames.close()
    assert decoders[0].returncode is not None
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.abort()", "the decoder crashed"),
        ("print('nonsense')", "the decoder crashed"),
        ("print('[' * 99999)", "the decoder crashed"),
        ("print(3)", "the decoder crashed"),
        ("import time; time.sleep(60)", "the decoder gave no frame for 0.3 seconds"),
        ('print(\'{"size": [9, 9], "seconds": 0}\')', "the decoder crashed"),
        ('print(\'{"size": [65536, 1], "seconds": 0}\')', "the decoder crashed"),
    ],
)
def test_read_frames_of_a_failing_decoder_is_one_line(
    program, reason, video, decoders, monkeypatch
):
    script = video.with_name("decoder.py")
    script.write_text(program)
    monkeypatch.setattr(reading, "_DECODER", script)
    monkeypatch.setattr(reading, "SILENT", 0.3 if "sleep" in program else 30)
    with pytest.raises(ValueError, match=f"^cannot read the video {video}: {reason}$"):
        next(read_frames(video))
    assert decoders[0].returncode is not None


READER = """
import sys
from pathlib import Path
from loading.videos import frames
frames._DECODER = Path(sys.argv[2])
next(frames.read_frames(Path(sys.argv[1])))
"""
SLEEPER = """
import os, sys, time
sys.path.insert(0, {folder!r})
import decoder
def decode(*_):
    open({note!r}, "w").write(str(os.getpid()))
    time.sleep(60)
decoder.decode, decoder.confine = decode, lambda: None
decoder.main(*sys.argv[1:])
"""


@pytest.mark.slow
def test_read_frames_decoder_ends_with_its_reader(video, tmp_path):
    note, script = tmp_path / "note", tmp_path / "decoder.py"
    folder = str(Path(decoder.__file__).parent)
    script.write_text(SLEEPER.format(folder=folder, note=str(note)))
    command = [sys.executable, "-c", READER, str(video), str(script)]
    with subprocess.Popen(command, cwd=PROJECT) as reader:
        wait_until(lambda: note.exists() and note.read_text())
        reader.kill()  # it has no time to end its decoder
    wait_until(lambda: not Path(f"/proc/{note.read_text()}").exists())


CONFINED = """
import os, socket, sys
sys.path.insert(0, {folder!r})
import decoder
decode = decoder.decode
def decode_confined(*arguments):
    for attempt in (socket.socket, lambda: os.open(os.devnull, os.O_RDONLY)):
        try:
            attempt()
        except OSError:
            continue
        os._exit(0)
    decode(*arguments)
decoder.decode, decoder.MOST_BYTES = decode_confined, {most}
decoder.main(*sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("most", [1 << 32, 1 << 29])
def test_read_frames_decoder_has_no_more_files_and_bounded_memory(
    most, tmp_path, monkeypatch
):
    side = 3000
    path = tmp_path / "large.mp4"
    path.write_bytes(encode(".mp4", [np.zeros((side, side, 3), np.uint8)] * 2))
    script = tmp_path / "decoder.py"
    folder = str(Path(decoder.__file__).parent)
    script.write_text(CONFINED.format(folder=folder, most=most))
    monkeypatch.setattr(reading, "_DECODER", script)
    if most == 1 << 32:
        assert len(list(read_frames(path, OFTEN))) == 2
        return
    with pytest.raises(ValueError, match="it asks for more than 0.5 GiB|failed"):
        list(read_frames(path, OFTEN))
