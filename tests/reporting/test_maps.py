"""A detector's mistakes with their maps, and the mean maps of its images."""

import numpy as np
import pytest
import torch
from map_models import SMALL, OneConvolution

from faces_dataset import FAKE, REAL, FacesDataset, count_classes
from hardware import Compute
from judging.detector import Detector, build_score_set
from records.checkpoint import CheckpointRecord
from reporting.maps import EDGE, choose_evenly, draw_strip, explain_detector
from reporting.words import describe_mistake
from utils import load_dataset


@pytest.fixture
def dataset(faces_root) -> FacesDataset:
    return load_dataset(
        "faces", "test", data_root=faces_root.parent, preprocessing=SMALL
    )


def test_explain_detector_shows_the_surest_mistakes_and_the_mean_maps(
    dataset, tmp_path
):
    (tmp_path / "a.pt").touch()
    network = OneConvolution()
    network.fc.weight.data = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # red is fake
    record = CheckpointRecord(model_name="Net", threshold=0.6)
    detector = Detector(network, SMALL, record, tmp_path / "a.pt")
    compute = Compute(workers=0)
    scored = detector.score(dataset, compute)
    scores = build_score_set("faces", dataset, detector, scored, split="test")

    maps = explain_detector(scores, dataset, detector, compute=compute, num_mistakes=2)

    assert [(side.label, side.num) for side in maps.sides] == [(REAL, 2), (FAKE, 3)]
    for side, order in zip(maps.sides, (-1, 1), strict=True):
        of_class = np.sort(order * scores.fake_scores[scores.labels == side.label])
        shown = [mistake.fake_score for mistake in side.shown]
        assert shown == (order * of_class[:2]).tolist()
        for mistake in side.shown:
            assert mistake.label == side.label
            assert mistake.target == mistake.verdict == 1 - side.label
            assert f"test/{('real', 'fake')[side.label]}/" in mistake.name
    strip = draw_strip(maps.sides[1].shown[0])
    assert strip.size == (3 * EDGE, EDGE)
    red, _, blue = np.asarray(strip)[:, :EDGE].mean(axis=(0, 1))
    assert blue > red + 100  # the image comes first, and fakes are blue
    assert [mean.name for mean in maps.means] == ["saliency", "Grad-CAM at conv3"]
    assert [method.checked for method in maps.methods] == ["not checked"] * 2
    for mean in maps.means:
        assert mean.maps.shape == (2, 64, 64)
        assert mean.counts == {"real": 2, "fake": 3}
        assert len(mean.places) == 2
        assert mean.places[0].startswith("most is ")


def test_explain_detector_without_a_map_that_passed_shows_the_images_alone(
    dataset, tmp_path
):
    (tmp_path / "a.pt").touch()
    record = CheckpointRecord(model_name="Net", maps=[], threshold=0.0)
    detector = Detector(OneConvolution(), SMALL, record, tmp_path / "a.pt")
    compute = Compute(workers=0)
    scored = detector.score(dataset, compute)
    scores = build_score_set("faces", dataset, detector, scored, split="test")

    maps = explain_detector(scores, dataset, detector, compute=compute, num_mistakes=2)

    assert (maps.means, maps.methods) == ([], [])
    mistake = maps.sides[REAL].shown[0]
    assert draw_strip(mistake).size == (EDGE, EDGE)
    assert "beside it" not in describe_mistake(mistake)


def test_choose_evenly_keeps_the_ends_of_each_class(faces_root):
    train = load_dataset("faces", "train", data_root=faces_root.parent)

    some = choose_evenly(train, 3)

    assert count_classes(some) == {"real": 3, "fake": 3}
    assert some.real_image_names == ["00.png", "02.png", "04.png"]
    assert count_classes(choose_evenly(train)) == count_classes(train)
