"""What detectors say of pictures: the same floats in every batch and script."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from script_helpers import make_checkpoint
from torch import nn

from files.provenance import describe_file
from hardware import Precision, choose_precision
from judging.datasets import score_dataset
from judging.pictures import Picture, load_pictures
from judging.verdicts import (
    COLUMNS,
    Detector,
    Judged,
    Verdict,
    judge_batches,
    load_detector,
)
from loading import BatchLoader
from metrics import compute_fake_scores
from trainer import Trainer
from utils import load_checkpoint, load_dataset

CPU = torch.device("cpu")
PRECISIONS = [Precision("fp32"), choose_precision("auto", CPU), Precision("bf16")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    line = {"llr_slope": 2.0, "llr_intercept": 0.5}
    return make_checkpoint(path, temperature=0.01, threshold=0.5, **line)


@pytest.fixture
def detector(checkpoint) -> Detector:
    return load_detector(checkpoint, Precision())


def judge(paths, *detectors, batch_size: int = 32, **options) -> list[Judged]:
    batches = load_pictures(paths, batch_size=batch_size, **options)
    return list(judge_batches(batches, detectors))


def list_scores(judged: list[Judged]) -> list[float | None]:
    return [one.verdicts[0].fake_score for one in judged]


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: p.name)
def test_judge_batches_gives_the_same_float_whatever_the_batch(
    precision, faces_root, checkpoint
):
    """Batches of 1, 3 and 32, alone and amid others: no bit differs."""
    detector = load_detector(checkpoint, precision)
    files = sorted(faces_root.rglob("*.png"))
    paths = (files * 3)[:40]  # 32 and a rest of 8

    expected = list_scores(judge(paths, detector))

    for batch_size in (1, 3, 33):
        assert list_scores(judge(paths, detector, batch_size=batch_size)) == expected
    assert list_scores(judge(paths[::-1], detector)) == expected[::-1]
    assert list_scores(judge(paths[5:6], detector)) == expected[5:6]
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: p.name)
def test_judge_batches_gives_the_floats_of_the_analysis_and_the_trainer(
    precision, faces_root, checkpoint
):
    dataset = load_dataset("faces", "test", data_root=faces_root.parent)
    paths = [dataset.get_path(index) for index in range(len(dataset))]
    model = load_checkpoint(checkpoint)
    loaders = {"val": BatchLoader(dataset, 4, model.preprocessing)}
    loaders |= dict.fromkeys(("train", "test"), loaders["val"])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    trainer = Trainer(model, optimizer, loaders, precision=precision)

    judged = judge(paths, load_detector(checkpoint, precision), batch_size=3)

    trainer.validate()
    scores = score_dataset("faces", dataset, model, split="test", precision=precision)
    assert list_scores(judged) == scores.fake_scores.tolist()
    assert [one.verdicts[0].llr for one in judged] == scores.llrs.tolist()
    validated = compute_fake_scores(trainer.val_logits, temperature=0.01)
    assert list_scores(judged) == validated.tolist()
    assert np.ptp(validated) > 1e-3


def test_judge_batches_two_detectors_judge_each_picture(faces_root, detector, tmp_path):
    other = load_detector(
        make_checkpoint(tmp_path / "b.pt", temperature=5.0), Precision()
    )
    paths = sorted((faces_root / "test").rglob("*.png"))

    judged = judge(paths, detector, other, batch_size=2)

    for number, alone in enumerate((detector, other)):
        scores = [one.verdicts[number].fake_score for one in judged]
        assert scores == list_scores(judge(paths, alone))
        assert {one.verdicts[number].detector.sha256 for one in judged} == {
            describe_file(alone.checkpoint_path)["sha256"]
        }


@pytest.mark.parametrize("offset", [-1e-9, 0.0, 1e-9])
def test_verdict_calls_fake_from_the_threshold_on(offset, faces_root, detector):
    path = faces_root / "test" / "real" / "00.png"
    ((score,),) = [list_scores(judge([path], detector))]
    detector.model.threshold = score + offset

    ((verdict,),) = [one.verdicts for one in judge([path], detector)]

    assert (verdict.name, verdict.fake_score) == (
        "real" if offset > 0 else "fake",
        score,
    )


def test_verdict_on_what_is_no_face_crop_has_a_question_mark(detector):
    verdict = Verdict(Picture(Path("a.png"), 1920, 1080), detector, 0.99, 3.0)
    assert verdict.name == "fake?"
    assert replace(verdict, fake_score=0.01).name == "real?"


@pytest.mark.parametrize("workers", [0, 1])
def test_judge_batches_names_what_it_cannot_read_and_judges_the_rest(
    workers, own_faces_root, detector
):
    folder = own_faces_root / "test" / "fake"
    (folder / "00.png").write_bytes(b"no image")
    paths = [folder / "00.png", folder / "01.png", folder / "99.png"]

    first, second, third = judge(paths, detector, workers=workers)

    (alone,) = judge(paths[1:2], detector)
    assert str(paths[0]) in first.verdicts[0].error
    assert "no such file" in third.verdicts[0].error
    assert (first.sample, third.sample) == (None, None)
    assert second.verdicts == alone.verdicts
    assert torch.equal(second.sample, alone.sample)


def test_judge_batches_of_nothing_gives_nothing(detector):
    assert judge([], detector) == []


def test_judge_batches_score_that_is_not_finite_is_an_error(detector, faces_root):
    paths = sorted((faces_root / "test" / "fake").iterdir())
    nn.init.constant_(detector.model.fc3.weight, 3e38)

    judged = judge(paths, detector)

    assert [one.verdicts[0].error for one in judged] == [
        f"the model gives {path} no finite score" for path in paths
    ]


def test_to_row_holds_every_column_as_plain_values(faces_root, detector, tmp_path):
    good, bad = faces_root / "test" / "real" / "00.png", tmp_path / "none.png"

    rows = [o.verdicts[0].to_row() for o in judge([good, bad], detector, hashed=True)]

    assert [tuple(row) for row in rows] == [COLUMNS, COLUMNS]
    assert rows[0]["sha256"] == describe_file(good)["sha256"]
    assert (rows[0]["width"], rows[0]["height"], rows[0]["error"]) == (24, 24, None)
    kinds = {type(value) for value in rows[0].values()}
    assert kinds == {str, float, int, type(None)}
    score = rows[0]["fake_score"]
    difference = 0.01 * np.log(score / (1 - score))  # the temperature is 0.01
    assert rows[0]["llr"] == pytest.approx(2 * difference + 0.5)
    assert (rows[1]["fake_score"], rows[1]["verdict"]) == (None, None)
    assert rows[1]["error"].startswith("cannot read the image")


def test_score_samples_leaves_the_model_as_it_is(faces_root, detector):
    detector.model.train()
    judge(sorted((faces_root / "test").rglob("*.png")), detector)
    assert detector.model.training


def test_load_detector_refuses_a_reliability_that_is_none(tmp_path):
    path = make_checkpoint(tmp_path / "net.pt", reliability=[[0.5, 0.4, 1, 2]])
    with pytest.raises(ValueError, match=r"cannot use .*net\.pt: its reliability"):
        load_detector(path, Precision())
