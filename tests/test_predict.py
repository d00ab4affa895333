"""Tests of the script that judges images."""

from __future__ import annotations

import csv
import multiprocessing
import os
import re
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from script_helpers import make_checkpoint, run_script
from torch import nn

import predict
from hardware import Precision
from loading import image_files, read_image
from numerical_analysis import get_soft_scores_and_true_labels
from predict import Verdict, find_images, judge_images
from utils import load_checkpoint, load_dataset

FP32 = Precision("fp32")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    policy = "eer on 5 validation images"
    return make_checkpoint(path, temperature=0.01, threshold_policy=policy)


@pytest.fixture
def model(checkpoint) -> nn.Module:
    return load_checkpoint(checkpoint)


def read_lines(capsys) -> tuple[list[str], list[str]]:
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_judge_images_gives_the_scores_of_the_dataset(faces_root, model):
    dataset = load_dataset("faces", "test", data_root=faces_root.parent)
    paths = [dataset.get_path(index) for index in range(len(dataset))]

    verdicts, failures = judge_images(paths, model, FP32, batch_size=2)

    _, expected, _ = get_soft_scores_and_true_labels(
        dataset, model, batch_size=2, precision=FP32
    )
    assert failures == []
    assert [verdict.path for verdict in verdicts] == paths
    assert [verdict.fake_score for verdict in verdicts] == expected.tolist()
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("batch_size", [1, 3, 50])
@pytest.mark.parametrize("workers", [0, 1])
def test_judge_images_gives_the_same_for_any_batch_size_and_workers(
    batch_size, workers, faces_root, model
):
    paths = sorted(faces_root.rglob("*.png"))[:7]

    verdicts, _ = judge_images(
        paths, model, FP32, batch_size=batch_size, workers=workers
    )

    expected, _ = judge_images(paths, model, FP32)
    scores = [[v.fake_score for v in some] for some in (verdicts, expected)]
    assert [v.path for v in verdicts] == paths
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("offset", [-1e-9, 0.0, 1e-9])
def test_judge_images_calls_fake_from_the_threshold_on(offset, faces_root, model):
    path = faces_root / "test" / "real" / "00.png"
    ((_, _, score),), _ = judge_images([path], model, FP32)
    model.threshold = score + offset

    (verdict,), _ = judge_images([path], model, FP32)

    assert verdict == Verdict(path, "real" if offset > 0 else "fake", score)


@pytest.mark.parametrize("workers", [0, 1])
def test_judge_images_names_what_it_cannot_read_and_judges_the_rest(
    workers, own_faces_root, model
):
    folder = own_faces_root / "test" / "fake"
    (folder / "00.png").write_bytes(b"no image")
    paths = [folder / "00.png", folder / "01.png", folder / "99.png"]

    verdicts, failures = judge_images(paths, model, FP32, workers=workers)

    (alone,), _ = judge_images(paths[1:2], model, FP32)
    assert len(failures) == 2
    assert str(paths[0]) in failures[0]
    assert "no such file" in failures[1]
    assert [(v.path, v.name) for v in verdicts] == [(alone.path, alone.name)]
    assert verdicts[0].fake_score == pytest.approx(alone.fake_score, abs=1e-5)


def test_describe_failure_of_a_file_that_has_been_mended_since(faces_root):
    path = faces_root / "test" / "real" / "00.png"

    reason = predict.describe_failure(path)

    assert reason == f"cannot read the image {path}: it changed meanwhile; try again"


@pytest.mark.parametrize("workers", [0, 2])
def test_judge_images_reads_side_by_side(workers, faces_root, model, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    readers = multiprocessing.Manager().dict() if workers else {}

    def note_reader(path: Path, **options: int) -> Image.Image:
        readers[os.getpid(), threading.get_ident()] = True
        time.sleep(0.05)  # time for the others to take the next image
        return read_image(path, **options)

    monkeypatch.setattr(predict, "read_image", note_reader)
    paths = sorted(faces_root.rglob("*.png"))[:8]
    batch_size = 4 if workers else 8
    verdicts, _ = judge_images(
        paths, model, FP32, batch_size=batch_size, workers=workers
    )
    assert [verdict.path for verdict in verdicts] == paths
    processes = {process for process, _ in list(readers)}
    if workers:  # the loader itself reads one, to know the size
        processes.remove(os.getpid())
    assert len(processes) == (workers or 1)
    assert workers or len(readers) == 3  # the first is read alone, then in two threads


def test_judge_images_of_nothing_gives_nothing(model):
    assert judge_images([], model, FP32) == ([], [])


def test_find_images_replaces_folders_by_their_sorted_images(tmp_path):
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt", "deeper/c.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    one = tmp_path / "one.png"

    files, failures, others = find_images([one, tmp_path / "in", tmp_path / "empty"])

    assert files == [one, tmp_path / "in" / "a.JPG", tmp_path / "in" / "b.png"]
    assert failures == [f"there is no image in the folder {tmp_path}/empty"]
    assert [path.name for path in others] == [".hidden.png", "deeper", "notes.txt"]
    assert predict.describe_passed_over(others, verbose=False) == [
        "passed over: 2 files and 1 subfolder (-v names them)"
    ]
    assert predict.describe_passed_over(others, verbose=True) == [
        f"passed over: {tmp_path}/in/.hidden.png",
        f"passed over: {tmp_path}/in/deeper (a subfolder)",
        f"passed over: {tmp_path}/in/notes.txt",
    ]


def test_describe_passed_over_nothing_says_nothing():
    assert predict.describe_passed_over([], verbose=False) == []


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("https://example.org/a.jpg", "https://example.org/a.jpg is an address: down"),
        ("clip.MP4", "clip.MP4 is a video: save its frames"),
        ("paper.pdf", "paper.pdf is a PDF: take the images out"),
        ("-", "standard input (-) cannot be judged"),
        ("none.png", "cannot read the image none.png: there is no such file"),
    ],
)
def test_describe_failure_says_what_to_do(path, advice):
    assert predict.describe_failure(Path(path)).startswith(advice)


def test_main_without_a_path_says_what_it_takes(checkpoint, capsys):
    with pytest.raises(SystemExit) as exit_:
        predict.main(["-cpp", str(checkpoint)])
    assert exit_.value.code == 2
    (line,) = read_lines(capsys)[1]
    assert "name images or folders (standard input is not read)" in line


def test_main_counts_what_it_passes_over(own_faces_root, checkpoint, capsys):
    folder = own_faces_root / "test" / "fake"
    (folder / "clip.mp4").touch()
    assert predict.main(["-cpp", str(checkpoint), str(folder)]) == 0
    assert read_lines(capsys)[1] == ["passed over: 1 file (-v names them)"]


def test_main_prints_a_line_an_image_and_writes_the_csv(
    faces_root, checkpoint, tmp_path, capsys
):
    folder, table = faces_root / "test" / "fake", tmp_path / "new" / "verdicts.csv"

    status = predict.main(["-cpp", str(checkpoint), str(folder), "--csv", str(table)])

    lines, errors = read_lines(capsys)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert status == 0
    assert errors == []
    assert len(lines) == len(rows) + 2 == 5
    for line, row, name in zip(lines, rows, ("00", "01", "02"), strict=False):
        match = re.fullmatch(r"(real|fake)  P\(fake\)=(\d\.\d{3})  (.*)", line)
        verdict, score, path = match.groups()
        assert path == row["path"] == str(folder / f"{name}.png")
        assert score == f"{float(row['fake_score']):.3f}"
        assert verdict == row["verdict"]
        assert verdict == ("fake" if float(row["fake_score"]) >= 0.5 else "real")
        assert row["threshold"] == "0.5"
    assert lines[-1] == f"wrote {table}"


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({}, "0.5 on (the default, as the checkpoint has none of its own)"),
        ({"threshold": 0.25}, "0.25 on (from the checkpoint)"),
        (
            {"threshold": 0.25, "threshold_policy": "eer on 9 validation images"},
            "0.25 on (from the checkpoint: eer on 9 validation images)",
        ),
    ],
)
def test_summarise_says_the_threshold_and_where_it_comes_from(entries, expected, model):
    model.threshold, model.details = entries.get("threshold", 0.5), entries
    verdicts = [Verdict(Path("a"), "fake", 0.9), Verdict(Path("b"), "real", 0.1)]

    summary = predict.summarise(verdicts, model)

    assert summary == (
        f"1 fake, 1 real by SimpleNet; called fake from P(fake) = {expected}"
    )


@pytest.mark.parametrize(
    ("fake_score", "expected"),
    [
        (0.0, "<0.001"),
        (0.00049, "<0.001"),
        (0.0006, "=0.001"),
        (0.5, "=0.500"),
        (0.9994, "=0.999"),
        (0.9995, ">0.999"),  # f"{0.9995:.3f}" is 1.000
        (1.0, ">0.999"),
    ],
)
def test_format_verdict_rounds_no_score_to_certainty(fake_score, expected):
    line = predict.format_verdict(Verdict(Path("a.png"), "fake", fake_score))

    assert line == f"fake  P(fake){expected}  a.png"


def test_main_file_name_cannot_forge_a_line(checkpoint, tmp_path, capsys):
    path = tmp_path / "a\x1b[1A\x1b[2K\nreal  P(fake)=0.001  b.png"
    Image.new("RGB", (9, 9)).save(path)

    predict.main(["-cpp", str(checkpoint), str(path)])

    lines, _ = read_lines(capsys)
    assert len(lines) == 2  # the verdict and the summary
    assert all(line.isprintable() for line in lines)


def test_judge_images_score_that_is_not_finite_is_a_failure(model, faces_root):
    paths = sorted((faces_root / "test" / "fake").iterdir())
    nn.init.constant_(model.fc3.weight, 3e38)

    verdicts, failures = judge_images(paths, model, FP32)

    assert verdicts == []
    assert failures == [f"the model gives {path} no finite score" for path in paths]


@pytest.mark.parametrize("name", ["net.pt", "face.png"])
def test_main_csv_never_replaces_an_input(name, tmp_path, capsys):
    checkpoint = make_checkpoint(tmp_path / "net.pt")
    Image.new("RGB", (9, 9)).save(tmp_path / "face.png")
    before = (tmp_path / name).read_bytes()

    with pytest.raises(ValueError, match="is an input"):
        predict.main(
            ["-cpp", str(checkpoint), str(tmp_path), "--csv", str(tmp_path / name)]
        )

    assert (tmp_path / name).read_bytes() == before
    assert read_lines(capsys) == ([], [])


def test_main_with_only_unreadable_paths_names_each_on_a_line(
    checkpoint, tmp_path, capsys
):
    (tmp_path / "empty").mkdir()
    paths = [str(tmp_path / "empty"), str(tmp_path / "none.png")]

    status = predict.main(["-cpp", str(checkpoint), *paths])

    lines, errors = read_lines(capsys)
    assert status == 1
    assert lines == []
    assert len(errors) == 2
    assert all(path in error for path, error in zip(paths, errors, strict=True))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-cpp", "missing.pt"], "there is no checkpoint missing.pt"),
        (["--csv", "/dev/null/x.csv"], "cannot write to the folder /dev/null"),
        (["--csv", "/dev/null"], "cannot write /dev/null: it is no regular file"),
        (["--csv", "."], r"cannot write \.: it is a folder"),
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


def test_script_with_an_unreadable_image_exits_with_status_1(
    own_faces_root, checkpoint, tmp_path
):
    good = own_faces_root / "test" / "real" / "00.png"
    bad = own_faces_root / "bad.png"
    bad.write_bytes(good.read_bytes()[:200])

    result = run_script("predict.py", "-cpp", checkpoint, bad, good)

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert str(bad) in result.stderr
    assert str(good) in result.stdout.splitlines()[0]


def test_script_without_a_checkpoint_exits_with_one_line_and_status_2(tmp_path):
    shutil.copy(Path(__file__), tmp_path / "net.pt")

    result = run_script("predict.py", "-cpp", tmp_path / "net.pt", "face.png")

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("predict.py: error: ")
    assert result.stderr.count("\n") == 1
