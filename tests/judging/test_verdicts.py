"""What detectors say of pictures: the same floats in every batch and script."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from script_helpers import make_broken_checkpoint, make_checkpoint

from files.provenance import describe_file
from hardware import Compute, Precision, choose_precision
from judging.detector import Detector
from judging.pictures import Picture, View, load_pictures
from judging.verdicts import COLUMNS, Verdict, judge_batches
from loading import BatchLoader
from metrics import compute_fake_scores
from models import SteadyLinear
from trainer import Trainer
from utils import load_checkpoint, load_dataset

CPU = torch.device("cpu")
FP32 = Precision("fp32")
PRECISIONS = [FP32, choose_precision("auto", CPU), Precision("bf16")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    line = {"llr_slope": 2.0, "llr_intercept": 0.5, "llr_upper": 3.0}
    return make_checkpoint(path, temperature=0.01, threshold=0.5, **line)


@pytest.fixture
def detector(checkpoint) -> Detector:
    return load_checkpoint(checkpoint)


def judge(paths, *detectors, precision=FP32, **options) -> list[list[Verdict]]:
    """Each picture's verdicts."""
    views = [View.of(detector) for detector in detectors]
    batches = load_pictures(paths, views, **options)
    return [verdicts for _, verdicts in judge_batches(batches, detectors, precision)]


def list_scores(judged: list[list[Verdict]], number: int = 0) -> list[float | None]:
    return [verdicts[number].fake_score for verdicts in judged]


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: p.name)
def test_judge_batches_gives_the_same_float_whatever_the_batch(
    precision, faces_root, detector
):
    """Batches of 1, 3 and 32, alone and among others: no bit differs."""
    files = sorted(faces_root.rglob("*.png"))
    paths = (files * 3)[:40]  # 32 and a rest of 8

    def score(paths, **options):
        return list_scores(judge(paths, detector, precision=precision, **options))

    expected = score(paths)
    for batch_size in (1, 3, 33):
        assert score(paths, batch_size=batch_size) == expected
    assert score(paths[::-1]) == expected[::-1]
    assert score(paths[5:6]) == expected[5:6]
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: p.name)
def test_judge_batches_gives_the_floats_of_the_analysis_and_the_trainer(
    precision, faces_root, detector
):
    dataset = load_dataset("faces", "test", data_root=faces_root.parent)
    paths = [Path(dataset.get_name(index)) for index in range(len(dataset))]
    network = detector.network
    batches = BatchLoader(dataset, 4, detector.preprocessing)
    loaders = dict.fromkeys(("train", "val", "test"), batches)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    trainer = Trainer(network, optimizer, loaders, precision=precision)

    judged = judge(paths, detector, precision=precision, batch_size=3)

    trainer.evaluate_model_on_dataloader(batches)
    scored = detector.score(dataset, Compute(precision))
    assert list_scores(judged) == scored.fake_scores.tolist()
    assert [verdict.llr for (verdict,) in judged] == scored.llrs.tolist()
    measured = compute_fake_scores(trainer.logits, temperature=0.01)
    assert list_scores(judged) == measured.tolist()
    assert np.ptp(measured) > 1e-3


def test_judge_batches_each_verdict_has_its_own_picture_and_detector(
    own_faces_root, detector, tmp_path
):
    """Two detectors of two sizes, five pictures, the second of them broken."""
    other = load_checkpoint(make_checkpoint(tmp_path / "b.pt", temperature=5.0))
    small = replace(other.preprocessing, size=300)
    other = replace(other, preprocessing=small)
    other.network.fc1 = SteadyLinear(24 * 32 * 32, 1024)
    paths = sorted((own_faces_root / "test").rglob("*.png"))
    paths[1].write_bytes(b"text")

    judged = judge(paths, detector, other, batch_size=3)

    for number, alone in enumerate((detector, other)):
        assert list_scores(judged, number) == list_scores(judge(paths, alone))
        verdicts = [verdicts[number] for verdicts in judged]
        assert [v.picture.name for v in verdicts] == list(map(str, paths))
        assert {v.detector.path for v in verdicts} == {alone.path}
        size = alone.preprocessing.size
        for verdict, path in zip(verdicts, paths, strict=True):
            assert (verdict.sample is None) == (path == paths[1])
            if verdict.sample is not None:
                assert verdict.sample.shape == (3, size, size)
                ((again,),) = judge([path], alone)
                assert torch.equal(verdict.sample, again.sample)
    assert judge([], detector) == []


@pytest.mark.parametrize("offset", [-1e-9, 0.0, 1e-9])
def test_verdict_calls_fake_at_or_above_the_threshold(offset, faces_root, detector):
    path = faces_root / "test" / "real" / "00.png"
    (score,) = list_scores(judge([path], detector))
    record = replace(detector.record, threshold=score + offset)

    ((verdict,),) = judge([path], replace(detector, record=record))

    expected = "real" if offset > 0 else "fake"
    assert (verdict.name, verdict.fake_score) == (expected, score)


def test_verdict_on_what_is_not_a_face_crop_has_a_question_mark(detector):
    verdict = Verdict(Picture("a.png", 1920, 1080), detector, 0.99, 3.0)
    assert verdict.name == "fake?"
    assert replace(verdict, fake_score=0.01).name == "real?"


@pytest.mark.parametrize("workers", [0, 1])
def test_judge_batches_names_what_it_cannot_read_and_judges_the_rest(
    workers, own_faces_root, detector
):
    folder = own_faces_root / "test" / "fake"
    (folder / "00.png").write_bytes(b"no image")
    paths = [folder / "00.png", folder / "01.png", folder / "99.png"]

    (first,), (second,), (third,) = judge(paths, detector, workers=workers)

    assert str(paths[0]) in first.error
    assert "no such file" in third.error
    assert (second.error, second.picture.name) == (None, str(paths[1]))


def test_judge_batches_score_that_is_not_finite_is_an_error(tmp_path, faces_root):
    paths = sorted((faces_root / "test" / "fake").iterdir())
    broken = load_checkpoint(make_broken_checkpoint(tmp_path / "net.pt"))
    assert [verdict.error for (verdict,) in judge(paths, broken)] == [
        f"the network gives {path} no finite score" for path in paths
    ]


def test_to_row_holds_every_column_as_plain_values(faces_root, detector, tmp_path):
    good, bad = faces_root / "test" / "real" / "00.png", tmp_path / "none.png"

    rows = [v.to_row() for (v,) in judge([good, bad], detector, hashed=True)]

    assert [tuple(row) for row in rows] == [COLUMNS, COLUMNS]
    assert rows[0]["sha256"] == describe_file(good)["sha256"]
    assert rows[0]["checkpoint_sha256"] == describe_file(detector.path)["sha256"]
    assert (rows[0]["width"], rows[0]["height"], rows[0]["error"]) == (24, 24, None)
    kinds = {type(value) for value in rows[0].values()}
    assert kinds == {str, float, int, type(None)}
    score = rows[0]["fake_score"]
    difference = 0.01 * np.log(score / (1 - score))  # the temperature is 0.01
    assert rows[0]["llr"] == pytest.approx(2 * difference + 0.5)
    assert (rows[0]["llr_limit"], rows[1]["llr_limit"]) == (3, None)
    assert (rows[1]["fake_score"], rows[1]["verdict"]) == (None, None)
    assert rows[1]["error"].startswith("cannot read the image")
