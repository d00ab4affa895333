"""A detector: from a network's logits to what they mean, the same floats everywhere."""

from pathlib import Path

import numpy as np
import pytest
import torch
from script_helpers import make_broken_checkpoint, make_checkpoint

from hardware import Compute, Precision
from judging.detector import Detector, as_detector, build_score_set
from loading import PUBLISHED, SYMMETRIC
from metrics.meaning import LlrCalibration
from models import SimpleNet, get_network
from records.checkpoint import CheckpointRecord
from utils import load_checkpoint, load_dataset

LINE = {"llr_slope": 2.0, "llr_intercept": 0.5}


@pytest.fixture
def faces(faces_root, small_simple_net):
    known = get_network("SimpleNet").preprocessing
    options = {"data_root": faces_root.parent, "preprocessing": known}
    return load_dataset("faces", "train", **options)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 9])
def test_score_any_batch_size_is_the_softmax_in_order(faces, tiny_net, batch_size):
    record = CheckpointRecord(temperature=0.5, logit_bias=0.75, **LINE)
    detector = Detector(tiny_net(), SYMMETRIC, record)

    scored = detector.score(faces, Compute(Precision(), batch_size))

    assert detector.network.training
    images = torch.stack([faces[index][0] for index in range(9)])
    with torch.no_grad():
        logits = detector.network.eval()(images / 127.5 - 1)
    expected = (logits / 0.5 + torch.tensor([0, 0.75])).softmax(dim=1)
    real_scores, fake_scores, labels = scored
    np.testing.assert_allclose([real_scores, fake_scores], expected.T, rtol=1e-4)
    np.testing.assert_allclose(real_scores + fake_scores, 1, rtol=1e-15)
    assert labels.tolist() == [0] * 5 + [1] * 4
    differences = scored.logits[:, 1] - scored.logits[:, 0]
    np.testing.assert_allclose(scored.differences, differences, rtol=1e-5)
    np.testing.assert_array_equal(scored.llrs, 2 * scored.differences + 0.5)


@pytest.mark.parametrize(
    ("entries", "threshold", "line"),
    [
        ({}, 0.5, LlrCalibration(1.0, 0.0)),
        ({"threshold": 0.0, "temperature": 4.0}, 0.0, LlrCalibration(0.25, 0.0)),
        ({"threshold": 0.9, "llr_slope": 3.0}, 0.9, LlrCalibration(1.0, 0.0)),
        ({**LINE, "temperature": 4.0}, 0.5, LlrCalibration(2.0, 0.5)),
        ({**LINE, "llr_lower": -3.0}, 0.5, LlrCalibration(2.0, 0.5, -3.0)),
        ({**LINE, "llr_upper": 0.0}, 0.5, LlrCalibration(2.0, 0.5, upper=0.0)),
    ],
)
def test_detector_what_a_record_lacks_has_a_default(entries, threshold, line):
    detector = Detector(SimpleNet(), record=CheckpointRecord(**entries))
    assert (detector.threshold, detector.llr_line) == (threshold, line)


def test_as_detector_takes_a_networks_own_preprocessing(tiny_net):
    assert as_detector(SimpleNet()).preprocessing == PUBLISHED
    assert as_detector(tiny_net()).preprocessing is None
    detector = Detector(tiny_net())
    assert as_detector(detector) is detector


def test_score_samples_that_are_not_finite_are_nan_and_the_network_stays(
    faces, tmp_path
):
    detector = load_checkpoint(make_broken_checkpoint(tmp_path / "broken.pt"))
    detector.network.train()
    sample = faces[0][0].permute(1, 2, 0).numpy()
    scored = detector.score_samples(sample[None], Precision())
    assert np.isnan([*scored.fake_scores, *scored.llrs]).all()
    assert detector.network.training


@pytest.mark.parametrize(
    ("entries", "threshold_source", "llr_source"),
    [
        (
            {},
            "default, the checkpoint holds none",
            "logit difference over temperature: the checkpoint holds no calibration",
        ),
        (
            {"threshold": 0.7, **LINE},
            "chosen on validation, in the checkpoint",
            "chosen on validation, in the checkpoint",
        ),
    ],
)
def test_build_score_set_says_where_everything_is_from(
    entries, threshold_source, llr_source, faces, tmp_path
):
    path = make_checkpoint(tmp_path / "net.pt", dataset="faces", **entries)
    detector = load_checkpoint(path)
    scored = detector.score(faces)

    scores = build_score_set("faces", faces, detector, scored, split="train")

    assert (scores.threshold_source, scores.llr_source) == (
        threshold_source,
        llr_source,
    )
    assert scores.detector == "net"
    assert [Path(name).parent.name for name in scores.paths][4:6] == ["real", "fake"]
    assert scores.provenance["inputs"] == [detector.provenance]
    assert scores.provenance["trained_on"] == "faces"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("errors", {"none": "abcd"}),
        ("errors", {5: [1, 1, 1, 1]}),
        ("errors", {"none": [3, 9, 2, 1]}),
        ("errors", {"nothing": [3, 1, 2, 1]}),
        ("zones", {"none": [0.9, 0.1]}),
        ("kept_conditions", [{}]),
        ("stable_versions", [1, 2]),
        ("real_differences", ["a"]),
        ("guard", {"conditions": ["none"], "likenesses": {}, "least_side": 1}),
        ("guard", {"conditions": ["none"], "likenesses": {}, "least_side": 1e400}),
        ("guard", {"conditions": 5}),
        ("track_calibration", {"threshold": "high"}),
        ("track_calibration", {"zones": {"none": [0.9, 0.1]}}),
    ],
)
def test_what_a_damaged_checkpoint_says_of_conditions_is_refused(
    name, value, small_simple_net, tmp_path
):
    path = make_checkpoint(tmp_path / "net.pt", **{name: value})
    with pytest.raises(ValueError, match="cannot use the checkpoint") as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)
