"""From photographs and videos to a dataset of face crops."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_photos import draw_photo
from PIL import Image
from script_helpers import run_script

import extract_faces
from extract_faces import choose_splits, list_sources, read_frames
from files.names import SPLITS
from loading import read_image
from loading.face_finding import Face

LANDMARKS = ((0.0, 0.0),) * 5


class OneFace:
    """A finder that finds one face of 100 pixels, and one too small, in the corner."""

    def find(self, picture: Image.Image) -> list[Face]:
        corner = Face((0, 0, 20, 30), 0.8, LANDMARKS)
        return [Face((40, 30, 120, 130), 0.9, LANDMARKS), corner]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five photographs and a video a class; the finder is not the network."""
    monkeypatch.setattr(extract_faces, "FaceFinder", OneFace)
    for label, name in enumerate(("real", "fake")):
        folder = tmp_path / "sources" / name
        folder.mkdir(parents=True)
        for number in range(5):
            draw_photo(10 * label + number, 200).save(folder / f"photo_{number}.jpg")
        write_video(folder / "clip one.avi", num_frames=30)
    return tmp_path / "sources"


def write_video(path: Path, num_frames: int, rate: float = 10.0) -> None:
    codec = cv2.VideoWriter_fourcc(*"MJPG")
    video = cv2.VideoWriter(str(path), codec, rate, (200, 200))
    for number in range(num_frames):
        video.write(np.full((200, 200, 3), 8 * number, dtype=np.uint8))
    video.release()


def make_flags(sources: Path, to: Path, *more: str) -> list[str]:
    classes = ["--real", str(sources / "real"), "--fake", str(sources / "fake")]
    return [*classes, "--to", str(to), *more]


def test_main_makes_a_dataset_whose_splits_share_no_source(sources, tmp_path, capsys):
    assert extract_faces.main(make_flags(sources, tmp_path / "own")) == 0
    crops = sorted((tmp_path / "own").glob("*/*/*.jpg"))
    assert len(crops) == 2 * (5 + 3)  # the video's 3 seconds give 3 frames
    assert {read_image(crop).size for crop in crops} == {(256, 256)}
    groups = {s: {c.name.split("_")[0] for c in crops if s in c.parts} for s in SPLITS}
    assert all(groups.values())
    assert sum(map(len, groups.values())) == len(set().union(*groups.values())) == 6
    rows = (tmp_path / "own" / "faces.csv").read_text().splitlines()
    assert len(rows) == 1 + len(crops)
    assert f"wrote {tmp_path / 'own'}" in capsys.readouterr().out
    assert not list(tmp_path.glob(".*partial"))


def test_main_names_a_broken_source_and_goes_on(sources, tmp_path, capsys):
    (sources / "real" / "broken.mp4").write_bytes(b"no video")
    (sources / "fake" / "broken.jpg").write_bytes(b"no image")
    assert extract_faces.main(make_flags(sources, tmp_path / "own")) == 1
    errors = capsys.readouterr().err
    assert "cannot read the video" in errors
    assert "broken.jpg" in errors
    assert list((tmp_path / "own").glob("*/*/photo-0_*.jpg"))


def test_main_without_a_large_face_leaves_nothing(sources, tmp_path):
    flags = make_flags(sources, tmp_path / "own", "--least-height", "101")
    with pytest.raises(ValueError, match=r"no face was found.*--least-height"):
        extract_faces.main(flags)
    assert [path.name for path in tmp_path.iterdir()] == ["sources"]


def test_main_does_not_touch_what_is_there(sources, tmp_path):
    (tmp_path / "own").mkdir()
    with pytest.raises(ValueError, match="already there"):
        extract_faces.main(make_flags(sources, tmp_path / "own"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--to", "own"], "give --real, --fake or both"),
        (["--to", "own", "--real", "x", "--shares", "1", "1", "1"], "must sum to 1"),
        (["--to", "own", "--real", "x", "--every", "0"], "a number above 0"),
    ],
)
def test_parse_args_refuses(flags, message, capsys):
    with pytest.raises(SystemExit) as stop:
        extract_faces.parse_args(flags)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_list_sources_refuses_two_of_one_name(tmp_path):
    for name in ("a b.jpg", "a_b.png"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="would both be called a-b"):
        list_sources([tmp_path])
    with pytest.raises(ValueError, match="there is no file or folder"):
        list_sources([tmp_path / "none"])


def test_choose_splits_keeps_shares_and_names_in_both_classes_together():
    real = [Path(f"{n}.mp4") for n in range(20)]
    fake = [Path(f"{n}.mp4") for n in range(10)]
    splits = choose_splits({"real": real, "fake": fake}, (0.6, 0.2, 0.2), seed=0)
    for members in (range(10), range(10, 20)):
        found = [splits[str(n)] for n in members]
        assert [found.count(split) for split in SPLITS] == [6, 2, 2]
    again = choose_splits({"real": real, "fake": fake}, (0.6, 0.2, 0.2), seed=0)
    assert splits == again


def test_read_frames_takes_one_each_so_many_seconds(tmp_path):
    write_video(tmp_path / "clip.avi", num_frames=30)
    frames = list(read_frames(tmp_path / "clip.avi", every=0.5, most=4))
    assert [frame.seconds for frame in frames] == [0, 0.5, 1.0, 1.5]
    levels = [np.asarray(frame.picture).mean() for frame in frames]
    assert np.allclose(levels, [0, 40, 80, 120], atol=3)


def test_script_without_a_finder_or_sources_says_so_in_a_line(tmp_path):
    result = run_script(
        "extract_faces.py", "--real", "none", "--to", str(tmp_path / "o")
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
