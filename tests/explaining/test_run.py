"""Which images are explained, and why."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_image
from script_helpers import make_checkpoint

import command_line
from explaining.figures import UNKNOWN, Kind, Pair, color_map
from explaining.subjects import (
    Group,
    Pictures,
    Subjects,
    add_subject_flags,
    check_subject_flags,
    explain_groups,
    explain_image,
    judge_images,
    name_pictures,
    rank_images,
    rank_random,
    rank_telling,
)
from faces_dataset import FAKE, REAL, ResizeToTensor
from hardware import Precision
from loading import BatchLoader, read_image
from utils import load_checkpoint, load_dataset

KIND = Kind("cam", color_map, "title", "unit", "legend", "scale", "empty")


def make_subjects(labels: list[int], fake_scores: list[float]) -> Subjects:
    """Subjects without images or model, judged at the threshold 0.5."""
    scores, labels = np.array(fake_scores), np.array(labels)
    verdicts = (scores >= 0.5).astype(int)
    return Subjects(None, None, None, labels, scores, verdicts, "true", labels)


def test_rank_telling_orders_errors_hits_and_typical_images_of_each_class():
    subjects = make_subjects(
        [REAL, REAL, REAL, REAL, REAL, FAKE, FAKE, FAKE],
        [0.6, 0.1, 0.9, 0.0, 0.3, 0.8, 0.2, 1.0],
    )

    groups = rank_telling(subjects)

    assert [(g.reason, g.label, g.indices.tolist()) for g in groups] == [
        ("real called fake, worst errors", REAL, [2, 0]),
        ("real called real, surest hits", REAL, [3, 1, 4]),
        ("real, typical (nearest the median score)", REAL, [4, 1, 0, 3, 2]),
        ("fake called real, worst errors", FAKE, [6]),
        ("fake called fake, surest hits", FAKE, [7, 5]),
        ("fake, typical (nearest the median score)", FAKE, [5, 7, 6]),
    ]


def test_rank_telling_of_equal_scores_keeps_the_order_of_the_files():
    errors, hits, *_ = rank_telling(make_subjects([REAL] * 4 + [FAKE], [0.2] * 5))

    assert errors.indices.tolist() == []
    assert hits.indices.tolist() == [0, 1, 2, 3]


def test_rank_random_follows_the_seed_and_keeps_classes_apart():
    subjects = make_subjects([REAL] * 20 + [FAKE] * 10, [0.5] * 30)

    real, fake = (group.indices.tolist() for group in rank_random(subjects, 3))

    assert sorted(real) == list(range(20))
    assert sorted(fake) == list(range(20, 30))
    assert real != sorted(real)
    assert real == rank_images(subjects, "random", 3)[0].indices.tolist()
    assert real != rank_images(subjects, "random", 4)[0].indices.tolist()
    assert len(rank_images(subjects, "telling", 3)) == 6


def make_explainer(empty: set[int]):
    """A function from an index to a pair named after it, its map empty for some."""

    def explain(index: int) -> Pair:
        values = np.full((2, 2), float(index not in empty), dtype=np.float32)
        image = np.zeros((2, 2, 3), dtype=np.float32)
        return Pair(str(index), image, values, image, REAL, REAL, REAL, 0.0)

    return explain


def list_shown(groups: list[Group], num: int, empty: set[int]) -> list[tuple]:
    sections = explain_groups(groups, num, make_explainer(empty))
    return [(s.heading, [pair.path for pair in s.pairs]) for s in sections]


def test_explain_groups_shows_no_image_twice_and_leaves_empty_groups_out():
    groups = [
        Group("errors", REAL, np.array([4, 5])),
        Group("none", REAL, np.array([], dtype=int)),
        Group("typical", REAL, np.array([5, 1, 4, 2, 3])),
    ]

    assert list_shown(groups, 2, empty=set()) == [
        ("errors: 2 of 2", ["4", "5"]),
        ("typical: 2 of 5", ["1", "2"]),
    ]


def test_explain_groups_replaces_empty_maps_and_says_so():
    groups = [Group("hits", REAL, np.arange(20))]

    assert list_shown(groups, 2, empty={0, 2}) == [
        ("hits: 2 of 20 (passed over, nearly empty maps: 2)", ["1", "3"])
    ]
    assert list_shown(groups, 2, empty=set(range(20)) - {7}) == [
        ("hits: 2 of 20 (passed over, nearly empty maps: 6)", ["7", "0"])
    ]
    assert list_shown(groups[:1], 2, empty=set(range(20))) == [
        ("hits: 2 of 20 (passed over, nearly empty maps: 6)", ["0", "1"])
    ]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "net.pt")


def judge(images, model, target: str | None = None) -> Subjects:
    loader = BatchLoader(images, 2, model.preprocessing)
    return judge_images(loader, model, Precision(), target=target)


def test_judge_images_calls_fake_from_the_threshold_on(faces_root, checkpoint):
    dataset = load_dataset("faces", "test", data_root=faces_root.parent)
    model = load_checkpoint(checkpoint)
    scores = judge(dataset, model).fake_scores
    model.threshold = float(np.median(scores))

    subjects = judge(dataset, model)

    assert subjects.verdicts.sum() == 3  # the median's own image among them
    assert (
        subjects.verdicts.tolist() == (scores >= model.threshold).astype(int).tolist()
    )
    assert subjects.labels.tolist() == [0, 0, 1, 1, 1]
    assert subjects.describe()["threshold"] == model.threshold
    expected = {
        None: subjects.labels,
        "true": subjects.labels,
        "predicted": subjects.verdicts,
        "real": [REAL] * 5,
        "fake": [FAKE] * 5,
    }
    for target, classes in expected.items():
        judged = judge(dataset, model, target)
        assert judged.targets.tolist() == list(classes)
        assert judged.describe()["class"] == (target or "true")


def test_judge_images_of_pictures_explains_what_they_are_called(tmp_path, checkpoint):
    path = tmp_path / "me.png"
    make_image(0, fake=True, size=40).save(path)

    subjects = judge(Pictures([path]), load_checkpoint(checkpoint))

    assert subjects.labels.tolist() == [UNKNOWN]
    assert subjects.target == "predicted"
    assert subjects.targets.tolist() == subjects.verdicts.tolist()


def test_explain_image_maps_the_target_class_of_the_sample(faces_root, checkpoint):
    dataset = load_dataset("faces", "test", data_root=faces_root.parent)
    subjects = judge(dataset, load_checkpoint(checkpoint), "fake")
    seen = []

    def compute_maps(samples, classes):
        seen.append((samples, classes.tolist()))
        return samples[:, 0].float()

    pair = explain_image(subjects, 1, compute_maps=compute_maps, kind=KIND)

    sample, _ = dataset[1]
    assert torch.equal(seen[0][0], sample[None])
    assert seen[0][1] == [FAKE]
    assert np.array_equal(255 * pair.image, sample.permute(1, 2, 0).numpy())
    assert np.array_equal(pair.map, sample[0].numpy())
    assert np.array_equal(pair.picture, color_map(pair.image, pair.map))
    assert (pair.path, pair.label) == (str(dataset.get_path(1)), REAL)
    assert pair.fake_score == subjects.fake_scores[1]


def test_pictures_are_read_as_a_split_is(tmp_path):
    path = tmp_path / "me.png"
    make_image(0, fake=True, size=40).save(path)

    sample, label = Pictures([path])[0]

    assert torch.equal(sample, ResizeToTensor()(read_image(path)))
    assert label == UNKNOWN


def test_name_pictures_refuses_twins_and_inputs(tmp_path):
    paths, start = [tmp_path / "a" / "me.jpg", tmp_path / "b.c.png"], tmp_path / "Net"

    assert name_pictures(paths, start, KIND) == [
        f"{tmp_path}/Net_me_cam_map",
        f"{tmp_path}/Net_b.c_cam_map",
    ]
    with pytest.raises(ValueError, match="would both be drawn"):
        name_pictures([*paths, tmp_path / "me.png"], start, KIND)
    paths.append(tmp_path / "Net_me_cam_map.png")
    paths[-1].touch()
    with pytest.raises(ValueError, match="is an input"):
        name_pictures(paths, start, KIND)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image", "a.png"], "--image goes with -cpp CHECKPOINT"),
        (
            ["-cpp", "a.pt", "--image", "a.png", "--class", "true"],
            "--class true needs a dataset",
        ),
        (["--image", "a.png", "--choose", "random"], "not allowed with"),
        (["--class", "false"], "invalid choice"),
    ],
)
def test_subject_flags_that_exclude_each_other_are_refused(flags, message, capsys):
    parser = argparse.ArgumentParser()
    command_line.add_checkpoint_flag(parser)
    add_subject_flags(parser)

    with pytest.raises(SystemExit) as error:
        check_subject_flags(parser, parser.parse_args(flags))

    assert error.value.code == 2
    assert message in capsys.readouterr().err
