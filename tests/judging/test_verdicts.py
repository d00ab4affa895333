"""What detectors say of pictures: the same floats in every batch and script."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from script_helpers import make_checkpoint

from files.classes import FAKE, REAL
from files.provenance import describe_file
from hardware import Compute, Precision
from judging.detector import Detector
from judging.guarding.guard import Unlikeness
from judging.guarding.stability import VERSIONS
from judging.pictures import InputSpec, Picture, Reading, load_pictures
from judging.verdict_tables import COLUMNS, FRAME_COLUMNS, list_row
from judging.verdicts import Verdict, group_faces, judge_batches
from loading import BatchLoader
from metrics import compute_fake_scores
from models import SteadyLinear
from trainer import Trainer
from utils import load_checkpoint, load_dataset

DOCS = Path(__file__).parents[2] / "docs"
FP32 = Precision("fp32")
PRECISIONS = [FP32, Precision("bf16")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    line = {"llr_slope": 2.0, "llr_intercept": 0.5, "llr_lower": -9, "llr_upper": 3.0}
    return make_checkpoint(path, temperature=0.01, threshold=0.5, **line)


@pytest.fixture
def detector(checkpoint) -> Detector:
    return load_checkpoint(checkpoint)


def judge(paths, *detectors, precision=FP32, **options) -> list[list[Verdict]]:
    """Each picture's verdicts; no face is looked for, no version tried."""
    specs = [InputSpec.of(detector) for detector in detectors]
    reading = options.pop("reading", Reading(faces=False))
    stability = options.pop("stability", False)
    batches = load_pictures(paths, specs, reading=reading, **options)
    judged = judge_batches(batches, detectors, precision, stability=stability)
    return [verdicts for _, verdicts in judged]


def list_scores(judged: list[list[Verdict]], number: int = 0) -> list[float | None]:
    return [verdicts[number].fake_score for verdicts in judged]


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: p.name)
def test_judge_batches_gives_the_same_float_whatever_the_batch(
    precision, faces_root, detector
):
    """Batches of 1, 3 and 32, alone and among others: no bit differs."""
    files = sorted(faces_root.rglob("*.png"))
    paths = (files * 2)[:34]  # 32 and a rest of 2

    def score(paths, **options):
        return list_scores(judge(paths, detector, precision=precision, **options))

    expected = score(paths)
    assert score(paths[:2], batch_size=1) == expected[:2]
    assert score(paths[5:12], batch_size=3) == expected[5:12]
    assert score(paths[::-1], batch_size=33) == expected[::-1]
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: p.name)
def test_judge_batches_gives_the_floats_of_the_analysis_and_the_trainer(
    precision, faces_root, detector
):
    dataset = load_dataset("faces", "test", data_root=faces_root.parent)
    paths = [Path(dataset.get_file(index).name) for index in range(len(dataset))]
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


@pytest.mark.slow
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
                assert verdict.sample.shape == (size, size, 3)
                ((again,),) = judge([path], alone)
                assert np.array_equal(verdict.sample, again.sample)
    assert judge([], detector) == []


@pytest.mark.parametrize(
    ("size", "doubts", "fake_score", "name", "reason"),
    [
        ((9, 9), (), 0.99, "fake", None),
        ((9, 9), (), 0.01, "real", None),
        ((9, 9), (), 0.3, "inconclusive", "its score lies between those called real"),
        ((1920, 1080), (), 0.99, "inconclusive", "not a face crop: 1920 x 1080"),
        ((9, 9), ("it is odd",), 0.01, "inconclusive", "it is odd"),
    ],
)
def test_verdict_is_real_fake_or_inconclusive_and_says_why(
    size, doubts, fake_score, name, reason, detector
):
    detector = replace(detector, record=replace(detector.record, real_below=0.2))
    picture = Picture("a.png", *size)
    verdict = Verdict(picture, detector, fake_score, 0.0, doubts=doubts)
    assert verdict.name == name
    assert len(verdict.reasons) == (reason is not None)
    assert reason is None or verdict.reasons[0].startswith(reason)
    assert verdict.is_withheld == bool(reason and "lies between" not in reason)


@pytest.mark.parametrize(
    ("condition", "excess", "least_side", "reason", "has_ratio"),
    [
        ("none", 1.0, 24, None, True),
        ("jpeg=70", 1.0, 24, None, False),  # its bounds are its own, but no ratio is
        ("face=64", 1.0, 24, "of images with a crop of only 64 pixels, w", False),
        ("none", 1.1, 24, "unlike the calibration images: it has more ", False),
        ("none", 1.0, 40, "few pixels: 24 a side, and what it was calibrated", False),
    ],
)
def test_judge_batches_heeds_what_the_calibration_images_were_like(
    condition, excess, least_side, reason, has_ratio, faces_root, detector
):
    class Likeness:
        conditions = ("none", "jpeg=70", "face=64")

        def compare(self, numbers):
            assert {"detail", "colour", "features"} == set(numbers)
            nearest = self.conditions.index(condition)
            return [{"detail": Unlikeness(excess, nearest, 0, True)}] * 2

    zones = {"jpeg=70": [0.0, 0.0]}
    known = {"zones": zones, "kept_conditions": ["none"], "threshold": 1.0}
    detector = replace(detector, record=replace(detector.record, **known))
    detector.__dict__["guard"] = guard = Likeness()
    guard.least_side = least_side
    paths = sorted((faces_root / "test" / "real").iterdir())

    stability = condition == "jpeg=70"  # its versions, too, are of its bounds
    judged = [verdict for (verdict,) in judge(paths, detector, stability=stability)]

    for verdict in judged:
        assert verdict.condition == condition
        assert len(verdict.doubts) == (reason is not None)
        assert reason is None or verdict.doubts[0].startswith(reason)
        assert (verdict.name == "inconclusive") == (reason is not None)
        assert (verdict.llr is not None) == has_ratio
        if condition == "jpeg=70":
            assert (verdict.name, verdict.zone) == ("fake", (0.0, 0.0))


@pytest.mark.slow
@pytest.mark.parametrize("stable", [None, ["mirrored", "JPEG 70"], []])
def test_judge_batches_verdict_that_a_harmless_change_flips_is_inconclusive(
    stable, faces_root, detector
):
    paths = sorted((faces_root / "test").rglob("*.png"))
    scores = list_scores(judge(paths, detector))

    def judge_at(threshold):
        entries = {"threshold": threshold, "stable_versions": stable}
        changed = replace(detector, record=replace(detector.record, **entries))
        verdicts = [v for (v,) in judge(paths, changed, stability=True)]
        assert [v.fake_score for v in verdicts] == scores
        return verdicts

    (edge, *_), everything = judge_at(scores[0]), judge_at(0.0)

    assert {verdict.name for verdict in everything} == {"fake"}
    if stable == []:
        assert (edge.name, edge.lowest, edge.highest) == ("fake", None, None)
        return
    assert edge.lowest < scores[0] <= edge.highest
    assert (edge.name, edge.llr) == ("inconclusive", None)
    assert edge.flips
    assert set(edge.flips) <= set(VERSIONS if stable is None else stable)
    versions = ", ".join(edge.flips)
    assert edge.reasons == (f"harmless versions get the opposite verdict: {versions}",)
    assert not edge.is_withheld  # its kind was tried


@pytest.mark.parametrize(
    ("bounds", "fake_score", "label"),
    [
        *(((0.2, 0.9), score, REAL) for score in (0.1, 0.3, 0.499)),
        *(((0.2, 0.9), score, FAKE) for score in (0.5, 0.816, 0.9)),
        ((0.01, 0.05), 0.05, FAKE),
        ((0.95, 0.99), 0.949, REAL),
    ],
)
def test_verdict_has_the_label_it_is_called_or_between_the_bounds_leans_to(
    bounds, fake_score, label, detector
):
    low, high = bounds
    record = replace(detector.record, real_below=low, threshold=high)
    verdict = Verdict(Picture("a"), replace(detector, record=record), fake_score, 0.0)
    assert verdict.label == label


def test_group_faces_puts_the_verdicts_on_a_picture_together():
    numbers = [(None, None), (1, 2), (2, 2), (None, 1), (1, 1), (None, 0)]
    told = [Picture("a", number=n, num_faces=of) for n, of in numbers]
    judged = [(picture, [number]) for number, picture in enumerate(told)]
    assert list(group_faces(judged)) == [[[0]], [[1], [2]], [[3]], [[4]], [[5]]]


def test_docs_name_the_columns_of_the_tables():
    page, videos = (
        (DOCS / name).read_text().splitlines() for name in ("page.md", "videos.md")
    )
    cells = [line.split("|")[1] for line in page if line.startswith("| `")]
    in_table = set(re.findall(r"`(\w+)`", " ".join(cells)))
    in_sentences = set(re.findall(r"`(\w+)`", " ".join(videos)))
    assert {*COLUMNS, *FRAME_COLUMNS} - in_table - in_sentences == set()
    assert in_table - set(COLUMNS) == set()


def test_list_row_holds_every_column_as_plain_values(faces_root, detector, tmp_path):
    good, bad = faces_root / "test" / "real" / "00.png", tmp_path / "none.png"

    reading = Reading(faces=False, with_origin=True)
    rows = [list_row(v) for (v,) in judge([good, bad], detector, reading=reading)]

    assert [tuple(row) for row in rows] == [COLUMNS, COLUMNS]
    assert rows[0]["sha256"] == describe_file(good)["sha256"]
    assert rows[0]["checkpoint_sha256"] == describe_file(detector.path)["sha256"]
    assert (rows[0]["width"], rows[0]["height"], rows[0]["error"]) == (24, 24, None)
    kinds = {type(value) for value in rows[0].values()}
    assert kinds == {str, float, int, bool, type(None)}
    score = rows[0]["fake_score"]
    difference = 0.01 * np.log(score / (1 - score))  # the temperature is 0.01
    assert rows[0]["llr"] == pytest.approx(2 * difference + 0.5)
    assert (rows[0]["llr_limit"], rows[1]["llr_limit"]) == (3, None)
    assert (rows[1]["fake_score"], rows[1]["verdict"]) == (None, None)
    assert rows[1]["error"].startswith("cannot read the image")
