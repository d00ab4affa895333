"""Hostile videos: each gives frames, or an error of one line, and nothing else."""

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile_videos import (
    Stranger,
    claim_frames,
    claim_size,
    draw,
    encode,
    list_playlists,
    repeat_tracks,
)

from loading.videos import frames
from loading.videos.frames import Sampling, read_frames

NUM_STRANGE = 20
OFTEN = Sampling(every=0.1)
SOUND = 12  # frames of a sound one


@pytest.fixture
def address() -> Iterator[str]:
    """An address at which nobody may knock."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def read(path: Path) -> tuple[int, str]:
    """Return how many frames a video gives, and the error after them."""
    num_frames = 0
    try:
        for frame in read_frames(path, OFTEN):
            assert frame.picture.mode == "RGB"
            num_frames += 1
    except ValueError as error:
        return num_frames, str(error)
    return num_frames, ""


def read_all(paths: list[Path]) -> list[tuple[int, str]]:
    """Read videos, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(read, paths))


@pytest.mark.slow
def test_read_frames_of_hostile_videos_are_frames_or_one_line(
    tmp_path, address, monkeypatch
):
    monkeypatch.setattr(frames, "SILENT", 30)
    stranger, paths = Stranger(0, address), []
    for number in range(NUM_STRANGE):
        name, content = stranger.make()
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        path.write_bytes(content)
        paths.append(path)
    found = read_all(paths)
    for path, (_, error) in zip(paths, found, strict=True):
        assert error == "" or error.startswith(f"cannot read the video {path}: ")
        assert "\n" not in error
        assert "crashed" not in error
        assert "for 30 seconds" not in error
    assert any(num and not error for num, error in found)
    assert any(not num and error for num, error in found)


def make_tricks(address: str) -> dict[str, tuple[bytes, int, str]]:
    """Return contents by name, how many frames they give, and what is said then."""
    locked = encode(".mp4", codec="libx264").replace(b"avc1", b"encv")
    small = claim_size(9_459, 9_459)
    own = b"ffconcat version 1.0\nfile 'renamed.avi'\n"  # which lies beside it
    texts = enumerate([*list_playlists(address), own])
    return {
        "empty.mp4": (b"", 0, "the file is empty"),
        "zeros.mp4": (bytes(5000), 0, "it is damaged, or not a video in MP4"),
        "one frame.mp4": (encode(".mp4", [draw(1)]), 1, ""),
        "renamed.avi": (encode(".mkv"), SOUND, ""),
        "a side.avi": (claim_size(65_536, 9), 0, "too many pixels .*65536 x 9; at mo"),
        "a square.avi": (small, 0, "none of its frames can be decoded"),
        "many frames.avi": (claim_frames(10**9), SOUND, ""),
        "many streams.mp4": (repeat_tracks(900), SOUND, ""),
        "more streams.mp4": (repeat_tracks(3000), 0, "or 1,000 streams"),
        "codec.avi": (encode(".avi").replace(b"FMP4", b"ZX_1"), 0, "codec, ZX_1, is"),
        "locked.mp4": (locked, 0, "codec, encv, is not"),
        "game.avi": (encode(".avi", codec="cinepak", pixels="rgb24"), 0, "cinepak"),
        **{f"{n}.mp4": (text, 0, "it is damaged, or not a") for n, text in texts},
    }


@pytest.mark.slow
def test_read_frames_of_known_tricks_says_what_is_wrong(tmp_path, address):
    tricks = make_tricks(address)
    for name, (content, _, _) in tricks.items():
        (tmp_path / name).write_bytes(content)
    found = read_all([tmp_path / name for name in tricks])
    for (_, expected, reason), (num_frames, error) in zip(
        tricks.values(), found, strict=True
    ):
        assert num_frames == expected
        assert re.search(reason, error)
        assert bool(reason) == bool(error)
