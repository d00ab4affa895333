"""Which images are explained, and why."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from map_models import SMALL, OneConvolution

from explaining.explanation import Explanation, Method, explain_image
from explaining.judged_images import (
    Group,
    JudgedImages,
    judge_images,
    rank_random,
    rank_telling,
)
from explaining.run import explain_groups, name_figures
from files.classes import FAKE, REAL
from hardware import Compute
from judging.detector import Detector
from records.checkpoint import CheckpointRecord
from utils import load_dataset

RED = Method("cam", lambda samples, *_: samples[:, 0], "title", "legend", "unit")


def make_judged(labels: list[int], fake_scores: list[float]) -> JudgedImages:
    """Images without pixels, judged at the threshold 0.5."""
    scores, labels = np.array(fake_scores), np.array(labels)
    verdicts = (scores >= 0.5).astype(int)
    return JudgedImages(None, None, None, labels, scores, verdicts, "true")


def test_rank_telling_orders_errors_hits_and_typical_images_of_each_class():
    labels = [REAL, REAL, REAL, REAL, REAL, FAKE, FAKE, FAKE]
    scores = [0.6, 0.1, 0.9, 0.0, 0.3, 0.8, 0.2, 1.0]

    groups = rank_telling(make_judged(labels, scores))

    assert [(g.reason, g.label, g.indices.tolist()) for g in groups] == [
        ("real called fake, worst errors", REAL, [2, 0]),
        ("real called real, surest hits", REAL, [3, 1, 4]),
        ("real, typical (nearest the median score)", REAL, [4, 1, 0, 3, 2]),
        ("fake called real, worst errors", FAKE, [6]),
        ("fake called fake, surest hits", FAKE, [7, 5]),
        ("fake, typical (nearest the median score)", FAKE, [5, 7, 6]),
    ]
    equal = rank_telling(make_judged([REAL] * 4 + [FAKE], [0.2] * 5))
    assert [g.indices.tolist() for g in equal[:2]] == [[], [0, 1, 2, 3]]


def test_rank_random_follows_the_seed_and_keeps_classes_apart():
    judged = make_judged([REAL] * 20 + [FAKE] * 10, [0.5] * 30)

    orders = [[g.indices.tolist() for g in rank_random(judged, s)] for s in (3, 3, 4)]

    assert [sorted(order) for order in orders[0]] == [[*range(20)], [*range(20, 30)]]
    assert orders[0] == orders[1]
    assert orders[0][0] not in (orders[2][0], [*range(20)])


@pytest.mark.parametrize(
    ("empty", "expected"),
    [
        (set(), [("errors: 2 of 2", "45"), ("typical: 2 of 9", "12")]),
        ({1, 3}, [("errors: 2 of 2", "45"), ("typical: 2 of 9{2}", "26")]),
        ({*range(10)} - {7}, [("errors: 2 of 2", "45"), ("typical: 2 of 9{5}", "71")]),
        ({*range(10)}, [("errors: 2 of 2", "45"), ("typical: 2 of 9{5}", "12")]),
    ],
)
def test_explain_groups_shows_no_image_twice_and_empty_maps_last(empty, expected):
    groups = [
        Group("errors", REAL, np.array([4, 5])),
        Group("none", REAL, np.array([], dtype=int)),
        Group("typical", REAL, np.array([5, 1, 4, 2, 3, 6, 7, 8, 9])),
    ]

    def explain(index: int) -> Explanation:
        values = np.full((2, 2), float(index not in empty), dtype=np.float32)
        return Explanation(None, REAL, [RED], [values], name=str(index))

    sections = explain_groups(groups, 2, explain)

    shown = [(s.heading, "".join(e.name for e in s.explanations)) for s in sections]
    words = [" (passed over, nearly empty maps: ", ")"]
    assert shown == [
        (heading.replace("{", words[0]).replace("}", words[1]), names)
        for heading, names in expected
    ]


def test_judge_images_calls_fake_at_the_threshold_and_explains_what_is_asked(
    faces_root,
):
    dataset = load_dataset(
        "faces", "test", data_root=faces_root.parent, preprocessing=SMALL
    )
    network, compute = OneConvolution(), Compute(batch_size=2)
    scores = Detector(network, SMALL).score(dataset, compute).fake_scores
    record = CheckpointRecord(model_name="Net", threshold=float(np.median(scores)))
    detector = Detector(network, SMALL, record, Path("a.pt"))

    judged = judge_images(dataset, detector, compute, target="fake", source={"a": "b"})

    verdicts = (scores >= record.threshold).astype(int).tolist()
    assert sum(verdicts) == 3  # the median's own image among them
    assert judged.verdicts.tolist() == verdicts
    details = judged.get_details(RED)
    assert (details["a"], details["threshold"]) == ("b", record.threshold)
    found = judged.explain(partial(explain_image, dataset, detector, [RED]), 1)
    sample, _ = dataset[1]
    assert np.array_equal(255 * found.image, sample.permute(1, 2, 0).numpy())
    assert np.array_equal(found.maps[0], sample[0].numpy())
    assert (found.name, found.label, found.target) == (dataset.get_name(1), REAL, FAKE)
    assert (found.verdict, found.fake_score) == (verdicts[1], scores[1])
    classes = {"true": [0, 0, 1, 1, 1], "predicted": verdicts, "real": [REAL] * 5}
    for target, expected in {**classes, None: classes["true"]}.items():
        judged = judge_images(dataset, detector, compute, target=target)
        assert judged.targets.tolist() == expected
        assert judged.get_details(RED)["class"] == (target or "true")


def test_name_figures_refuses_twins_and_inputs(tmp_path):
    paths, start = [tmp_path / "a" / "me.jpg", tmp_path / "b.c.png"], tmp_path / "Net"

    names = name_figures(paths, start, RED)

    assert names == [f"{start}_me_cam_map", f"{start}_b.c_cam_map"]
    with pytest.raises(ValueError, match="would both be drawn"):
        name_figures([*paths, tmp_path / "me.png"], start, RED)
    paths.append(tmp_path / "Net_me_cam_map.png")
    paths[-1].touch()
    with pytest.raises(ValueError, match="is an input"):
        name_figures(paths, start, RED)
