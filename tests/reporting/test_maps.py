"""Tests of mistakes, their maps, and mean maps."""

import numpy as np
import pytest

from faces_dataset import FAKE, REAL, count_classes
from reporting.maps import EDGE, choose_evenly, describe_place, outline
from utils import load_dataset


def test_mistakes_are_the_surest_of_each_class(run):
    scores = run.analysis.scores
    sides = {side.label: side for side in run.maps.sides}

    real, fake = (
        [mistake.fake_score for mistake in sides[label].shown] for label in (REAL, FAKE)
    )
    assert real == sorted(scores.fake_scores[scores.labels == REAL], reverse=True)
    assert fake == sorted(scores.fake_scores[scores.labels == FAKE])
    assert (sides[REAL].num, sides[FAKE].num) == (2, 3)
    assert all(m.verdict != m.label for side in sides.values() for m in side.shown)
    mistake = sides[FAKE].shown[0]
    assert mistake.name.startswith("test/fake/")
    assert mistake.strip.size == (3 * EDGE, EDGE)


def test_strip_shows_the_image_first(run):
    mistake = run.maps.sides[FAKE].shown[0]

    image = np.asarray(mistake.strip)[:, :EDGE].mean(axis=(0, 1))

    assert image[2] > image[0] + 100  # fakes are blue


def test_mean_maps_are_of_both_classes(run):
    names = [mean.name for mean in run.maps.means]

    assert names == ["saliency map", "Grad-CAM at conv3"]
    for mean in run.maps.means:
        assert mean.maps.shape == (2, 256, 256)
        assert mean.counts == {"real": 2, "fake": 3}
        assert "from the left" in mean.places[0]


def test_choose_evenly_keeps_the_ends_of_each_class(faces_root):
    train = load_dataset(faces_root.name, "train", data_root=faces_root.parent)

    some = choose_evenly(train, 3)

    assert count_classes(some) == {"real": 3, "fake": 3}
    assert some.real_image_names == ["00.png", "02.png", "04.png"]
    assert count_classes(choose_evenly(train)) == count_classes(train)


def test_describe_place_of_known_maps():
    corner, middle = np.zeros((8, 8)), np.zeros((8, 8))
    corner[7, 0] = 2
    middle[2:6, 2:6] = 1

    assert describe_place(np.zeros((8, 8))) == "nothing is to be seen"
    assert describe_place(np.ones((8, 8))).startswith("25 % is in the middle quarter")
    assert describe_place(middle) == (
        "100 % is in the middle quarter of the image, and the centre 50 % from the "
        "left and 50 % from the top"
    )
    assert describe_place(corner) == (
        "0 % is in the middle quarter of the image, and the centre 6 % from the left "
        "and 94 % from the top"
    )


def test_outline_surrounds_the_upper_half_and_changes_nothing_else():
    values = np.zeros((20, 20))
    values[5:15, 5:15] = 1
    grey = np.full((20, 20, 3), 100, np.uint8)

    drawn = outline(grey, values)

    assert drawn[10, 10].tolist() == drawn[0, 0].tolist() == [100] * 3
    assert drawn[5, 10].tolist() == [255] * 3
    assert drawn[4, 10].tolist() == [0] * 3
    assert (grey == 100).all()
    assert outline(grey, np.zeros((20, 20))) is grey


@pytest.mark.parametrize("edge", [0, 19])
def test_outline_at_the_images_border_is_open(edge):
    values = np.zeros((20, 20))
    values[edge, :] = 1

    drawn = outline(np.full((20, 20, 3), 100, np.uint8), values)

    assert drawn[10].min() == drawn[10].max() == 100
