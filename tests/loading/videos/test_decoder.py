"""What is decoded of a video, in this process: when, how it lies, how sharp it is."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import av
import numpy as np
import pytest
from hostile_videos import LEVELS, draw, encode

from loading.videos import decoder
from loading.videos.decoder import (
    Wish,
    decode,
    is_cut,
    measure_sharpness,
    take_sharpest,
    turn_upright,
)

NOISE = list(np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8))
COLOURS = np.zeros((48, 64, 3), np.uint8)
COLOURS[:24, :32], COLOURS[:24, 32:] = (200, 30, 30), (30, 30, 200)
COLOURS[24:, :32], COLOURS[24:, 32:] = (30, 160, 30), (200, 200, 200)


def run(data: bytes, every: float = 0.1, most_frames: int = 99) -> list:
    """Decode a video; return of each frame its seconds and pixels, and the error."""
    output, found = io.BytesIO(), []
    try:
        decode(io.BytesIO(data), Wish(every, most_frames, 10**8, 65_535), output)
        error = ""
    except ValueError as raised:
        error = str(raised)
    output.seek(0)
    while line := output.readline():
        message = json.loads(line)
        width, height = message["size"]
        pixels = np.frombuffer(output.read(3 * width * height), np.uint8)
        found.append((message["seconds"], pixels.reshape(height, width, 3)))
    return [found, error]


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".mp4", {"codec": "libx264"}),
        (".mp4", {"codec": "libx264", "pixels": "yuv420p10le"}),
        (".mp4", {"codec": "libx265", "pixels": "yuv420p10le"}),
        (".webm", {"codec": "libvpx-vp9"}),
        (".mp4", {"codec": "libsvtav1"}),
        (".mp4", {"movflags": "frag_keyframe+empty_moov"}),
        *((ending, {}) for ending in (".mov", ".avi", ".mkv", ".webm", ".flv")),
        *((ending, {}) for ending in (".ts", ".mpg", ".wmv", ".3gp")),
        (".ts", {"mpegts_m2ts_mode": "1"}),
    ],
)
def test_decode_gives_each_frame_at_its_time(ending, options):
    frames, error = run(encode(ending, **options))
    assert error == ""
    assert np.allclose([t for t, _ in frames], np.arange(12) / 10, atol=0.05)
    levels = [pixels.mean() for _, pixels in frames]
    assert np.allclose(levels, LEVELS * np.arange(12), atol=4)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_decode_of_uneven_lengths_takes_a_frame_each_period(ending):
    data = encode(ending, [draw(n) for n in range(6)], (0, 0.1, 2.0, 2.1, 2.2, 3.0))
    frames, _ = run(data, every=1.0)
    assert [seconds for seconds, _ in frames] == [0, 2.0, 3.0]
    assert np.allclose([p.mean() for _, p in frames], [0, 20, 50], atol=4)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_decode_turns_frames_upright(turn):
    (_, pixels), *_ = run(encode(".mp4", [COLOURS] * 3, turn=turn))[0]
    expected = np.rot90(COLOURS, turn // 90).astype(int)
    assert np.abs(pixels - expected).mean() < 8


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), [[1, 2], [3, 4]]),
        ((-1, 0, 0, 1), [[2, 1], [4, 3]]),
        ((1, 0, 0, -1), [[3, 4], [1, 2]]),
        ((0, 1, 1, 0), [[1, 3], [2, 4]]),
        ((0, 1, -1, 0), [[3, 1], [4, 2]]),
        ((0, -1, -1, 0), [[4, 2], [3, 1]]),
    ],
)
def test_turn_upright_knows_all_that_a_camera_does(matrix, expected):
    a, b, c, d = matrix
    whole = np.array([a, b, 0, c, d, 0, 0, 0, 1], np.int32) * 65_536

    class Frame:
        side_data = {"DISPLAYMATRIX": whole.tobytes()}  # noqa: RUF012

    assert turn_upright(np.array([[1, 2], [3, 4]]), Frame()).tolist() == expected


def test_decode_stretches_pixels_that_are_not_square():
    data = encode(".3gp", [np.zeros((288, 352, 3), np.uint8)] * 2, codec="h263")
    assert run(data)[0][0][1].shape == (288, 384, 3)  # CIF on a 4:3 screen


def test_decode_of_high_definition_has_its_colours():
    red = np.full((720, 1280, 3), (200, 60, 40), np.uint8)
    frame = av.VideoFrame.from_ndarray(red, format="rgb24")
    raw = frame.reformat(format="yuv420p", dst_colorspace="ITU709").to_ndarray()
    wrong = av.VideoFrame.from_ndarray(raw, format="yuv420p").to_ndarray(format="rgb24")
    (_, pixels), *_ = run(encode(".mp4", [wrong] * 2, codec="libx264"))[0]
    assert np.abs(pixels.astype(int) - (200, 60, 40)).mean() < 4


def make_frames(blurred: set[int], count: int) -> list[tuple[float, av.VideoFrame]]:
    """Noise at ten frames a second, some of it blurred."""
    soft = NOISE[0] // 2 + np.roll(NOISE[0], 1, 1) // 2
    sharp, soft = (
        av.VideoFrame.from_ndarray(pixels, format="rgb24")
        for pixels in (NOISE[0], soft)
    )
    return [(n / 10, soft if n in blurred else sharp) for n in range(count)]


@pytest.mark.parametrize(
    ("blurred", "expected"),
    [
        (set(), [0, 1.0]),  # all alike: the first
        ({0, 1, 2, 10}, [0.3, 1.3]),
        ({0, 3, 5, 13, 15, 18}, [0.8, 1.0]),
        (set(range(20)), [0, 1.0]),
    ],
)
def test_take_sharpest_passes_over_blurred_frames(blurred, expected):
    taken = take_sharpest(iter(make_frames(blurred, 20)), 1.0)
    assert [seconds for seconds, _ in taken] == expected


def test_measure_sharpness_is_a_laplacians_variance():
    grey = np.zeros((5, 5, 3), np.uint8)
    grey[2, 2] = 100  # of the nine inner points one is -400, and four are 100
    frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
    assert measure_sharpness(frame) == pytest.approx(200_000 / 9, rel=0.02)
    dot = av.VideoFrame.from_ndarray(grey[:1, :1], format="rgb24")
    assert measure_sharpness(dot) == 0


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".mp4", {"movflags": "frag_every_frame+empty_moov"}),
        *((ending, {}) for ending in (".avi", ".mkv", ".webm")),
    ],
)
def test_decode_of_a_cut_file_gives_what_there_is(ending, options):
    data = encode(ending, NOISE, **options)
    assert not is_cut(io.BytesIO(data))
    assert not is_cut(io.BytesIO(data + b"more"))
    frames, error = run(data[: len(data) * 3 // 4])
    assert 4 < len(frames) < 12
    found = re.fullmatch(r"it breaks off after (.*) seconds \(frame (\d+)\)", error)
    assert frames[-1][0] <= float(found[1]) <= frames[-1][0] + 0.2
    assert len(frames) <= int(found[2]) <= len(frames) + 2


def test_decode_says_that_it_breaks_off_early_unless_it_need_not_read_so_far():
    frames, error = run(encode(".mp4", NOISE)[:-999])  # without its index
    assert (frames, error) == ([], "it breaks off before its first frame")
    data = encode(".avi", NOISE)
    frames, error = run(data[: len(data) * 4 // 5], most_frames=3)
    assert (len(frames), error) == (3, "")


def test_decode_where_the_clock_starts_anew_goes_on():
    part = encode(".ts")
    frames, error = run(part + part)
    assert error == ""
    times = np.array([seconds for seconds, _ in frames])
    assert len(times) > 20
    assert np.all(np.diff(times) > 0.04)
    assert times[-1] < 3


def test_decode_passes_over_damaged_frames():
    data = bytearray(encode(".avi", NOISE))
    for place in range(len(data) // 2, len(data) // 2 + 80, 10):
        data[place] ^= 255
    frames, error = run(bytes(data))
    assert error == ""
    assert 5 < len(frames) < 12


def test_decode_of_more_frames_than_are_decoded_says_so(monkeypatch):
    monkeypatch.setattr(decoder, "MOST_DECODED", 5)
    frames, error = run(encode(".avi"))
    assert 3 < len(frames) < 8
    assert error == "it has more than 5 frames"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(IndexError("a late stream"), ""), (OSError("out of the file"), "it breaks off")],
)
def test_decode_where_packets_end_in_a_fault_keeps_the_frames(
    fault, expected, monkeypatch
):
    open_container = decoder._open_container

    @contextmanager
    def open_faulty(*arguments: object) -> Iterator[SimpleNamespace]:
        def demux(stream: object) -> Iterator[object]:
            yield from container.demux(stream)
            raise fault

        names = ("streams", "duration")
        with open_container(*arguments) as container:
            known = {name: getattr(container, name) for name in names}
            yield SimpleNamespace(demux=demux, start_time=500_000, **known)

    monkeypatch.setattr(decoder, "_open_container", open_faulty)
    frames, error = run(encode(".avi"))
    assert (len(frames), frames[0][0]) == (12, 0)  # it is before the stated start
    assert error.startswith(expected) and bool(error) == bool(expected)
