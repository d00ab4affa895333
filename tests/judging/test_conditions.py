"""A split under conditions is judged as pictures are that were disturbed before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_image
from PIL import Image
from script_helpers import make_checkpoint

from faces_dataset import FacesDataset
from files.classes import FAKE, NEITHER, REAL
from hardware import Compute, Precision
from judging.conditions import judge_conditions
from judging.detector import Detector
from judging.guarding.fitting import fit_guard
from judging.guarding.guard import Guard, Unlikeness
from judging.pictures import InputSpec, Reading, load_pictures
from judging.verdicts import Verdict, judge_batches
from loading.disturbances import AS_IT_IS, Condition
from loading.disturbed_faces import DisturbedFaces
from models import get_network
from utils import load_checkpoint, load_dataset

pytestmark = pytest.mark.usefixtures("small_simple_net")
CONDITIONS = (
    AS_IT_IS,
    Condition("jpeg", 5),
    Condition("brightness", 5),
    Condition("face", 4),
    Condition("face", 5),
    Condition("framing", 5),
)
COMPUTE = Compute(Precision("fp32"), batch_size=4)


@pytest.fixture
def faces(tmp_path) -> FacesDataset:
    """Ten test images of as many pixels as the network takes."""
    for number in range(10):
        name = ("real", "fake")[number % 2]
        folder = tmp_path / "faces" / "test" / name
        folder.mkdir(parents=True, exist_ok=True)
        make_image(number, fake=name == "fake", size=64).save(folder / f"{number}.png")
    known = get_network("SimpleNet").preprocessing
    return load_dataset("faces", "test", data_root=tmp_path, preprocessing=known)


@pytest.fixture
def detector(tmp_path) -> Detector:
    """One whose guard knows noise of both colours, of 60 pixels or more."""
    detector = load_checkpoint(make_checkpoint(tmp_path / "net.pt"))
    images = [make_image(100 + n, fake=n % 2 == 1, size=64) for n in range(120)]
    samples = np.stack([np.asarray(image) for image in images])
    scored, numbers = detector.examine(samples, COMPUTE.precision)
    fitted = {kind: values[:60] for kind, values in numbers.items()}
    held = {kind: values[60:, None] for kind, values in numbers.items()}
    guard = fit_guard(fitted, np.zeros(60, dtype=int), held, ["none"], 60)
    low, high = np.quantile(scored.fake_scores, [0.3, 0.4]).tolist()
    chosen = {"threshold": high, "real_below": low, "kept_conditions": ["none"]}
    record = replace(detector.record, guard=guard.to_dict(), **chosen)
    return replace(detector, record=record)


def judge_files(
    images: DisturbedFaces, detector: Detector, folder: Path, *, stability: bool
) -> list[Verdict]:
    """Verdicts on the images as files: as a user has them, and predict.py reads them.

    Conditions must leave them as large as the network takes them.
    """
    folder.mkdir(exist_ok=True)
    paths = []
    for index in range(len(images)):
        image = Image.fromarray(images[index][0].permute(1, 2, 0).numpy())
        paths.append(folder / f"{index:03}.png")
        image.save(paths[-1])
    specs = [InputSpec.of(detector)]
    batches = load_pictures(paths, specs, reading=Reading(faces=False))
    judged = judge_batches(batches, [detector], COMPUTE.precision, stability=stability)
    return [verdict for _, (verdict,) in judged]


@pytest.mark.parametrize("stability", [False, True])
def test_judge_conditions_tells_what_users_are_told(
    stability, faces, detector, tmp_path
):
    kept = [c for c in CONDITIONS if c.name not in ("face", "framing")]
    images = DisturbedFaces(faces, kept, seed=0)

    judged = judge_conditions(detector, images, COMPUTE, stability=stability)

    expected = judge_files(images, detector, tmp_path / "files", stability=stability)
    verdicts = np.array([NEITHER if v.reasons else v.decision for v in expected])
    scores = np.array([v.fake_score for v in expected])
    assert np.array_equal(judged.verdicts, verdicts.reshape(10, len(kept)).T)
    assert np.array_equal(judged.fake_scores, scores.reshape(10, len(kept)).T)
    differences = np.array([v.difference for v in expected])
    assert np.array_equal(judged.differences, differences.reshape(10, len(kept)).T)
    assert judged.labels.tolist() == [REAL] * 5 + [FAKE] * 5
    assert (judged.verdicts[2] == NEITHER).all()  # by its guard
    if stability:
        other = judge_conditions(detector, images, COMPUTE)
        assert not np.array_equal(judged.verdicts[0], other.verdicts[0])
    else:
        assert {REAL, FAKE, NEITHER} == set(judged.verdicts[0])  # by its bounds


def test_judge_conditions_gives_the_verdict_the_size_of_such_a_picture(
    faces, detector, monkeypatch
):
    """Without what the guard compares, only the side is left to doubt: 57 at least."""
    alike = {"detail": Unlikeness(0.5, 0, 0, True)}
    monkeypatch.setattr(
        Guard, "compare", lambda self, numbers: [alike] * len(numbers["detail"])
    )
    decided = replace(detector, record=replace(detector.record, real_below=None))

    judged = judge_conditions(
        decided, DisturbedFaces(faces, CONDITIONS, 0), COMPUTE, stability=False
    )

    has_verdict = (judged.verdicts != NEITHER).all(axis=1)
    nobody = (judged.verdicts == NEITHER).all(axis=1)
    assert has_verdict.tolist() == [True, True, True, True, False, True]
    assert nobody.tolist() == [False, False, False, False, True, False]


def test_judge_conditions_does_not_depend_on_the_batch(faces, detector):
    images = DisturbedFaces(faces, CONDITIONS, seed=0)
    first = judge_conditions(detector, images, COMPUTE)
    other = judge_conditions(detector, images, replace(COMPUTE, batch_size=7))
    assert np.array_equal(first.differences, other.differences)
    assert np.array_equal(first.verdicts, other.verdicts)
    # A face of 64 pixels is the image as it is.
    assert len(np.unique(first.differences)) == first.differences.size - 10 == 50
