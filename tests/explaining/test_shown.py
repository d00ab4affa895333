"""Maps that passed are shown, and no others; what is planted is found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from map_models import SMALL, OneConvolution
from PIL import Image
from script_helpers import make_checkpoint
from torch import Tensor, nn

import calibrate
import explaining.checks
import explaining.shown
import train_main
from explaining.checks import Removal, check_removal, order_cells
from explaining.pictures import build_methods, describe_shown
from explaining.shown import (
    LEAST_IMAGES,
    NONE_PASSED,
    Candidate,
    MapTrial,
    check_candidates,
    choose_shown,
    describe_check,
    describe_checked,
    list_candidates,
)
from faces_dataset import FacesDataset
from files.classes import REAL
from hardware import Compute, Precision
from judging.detector import Detector, as_detector
from judging.qualifying import Policy
from loading import ResizeToTensor
from records.checkpoint import CheckpointRecord
from records.checkpoint_files import read_checkpoint
from utils import load_checkpoint

CORNER = np.s_[4:16, 48:60]  # whole cells, far from the centre
NUM = 4  # of each class
PASSED = {"randomisation": {"passed": True}, "insertion": {"passed": True}}


def make_board() -> np.ndarray:
    """1 and -1 in turns in the corner, gone when blurred; 0 elsewhere."""
    board = np.zeros((64, 64), np.float32)
    board[CORNER] = np.indices((12, 12)).sum(axis=0) % 2 * 2 - 1
    return board


class Corner(nn.Module):
    """Fake is what has a pattern in one corner, real what has its negative."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(3, 3, 1, bias=False)
        self.fc = nn.Linear(3 * 64 * 64, 2)
        with torch.no_grad():
            self.conv3.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            pattern = torch.from_numpy(make_board()).expand(3, -1, -1).flatten()
            self.fc.weight.copy_(torch.stack([-pattern, pattern]) / 100)
            self.fc.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.conv3(images).flatten(1))


@pytest.fixture
def images(tmp_path: Path) -> FacesDataset:
    """Noise, with the pattern where it is fake and its negative where it is real."""
    noise = np.random.default_rng(0)
    for name, sign in (("real", -1), ("fake", 1)):
        folder = tmp_path / "val" / name
        folder.mkdir(parents=True)
        for number in range(NUM):
            pixels = (
                noise.integers(110, 140, (64, 64, 3))
                + 60 * sign * make_board()[..., None]
            )
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return FacesDataset(tmp_path / "val", ResizeToTensor(SMALL))


def plant(images: FacesDataset, place: tuple[slice, slice]) -> None:
    folder = images.pictures.root.parent / "masks" / "val"
    folder.mkdir(parents=True)
    mask = np.zeros((64, 64), np.uint8)
    mask[place] = 255
    for number in range(NUM):
        Image.fromarray(mask).save(folder / f"{number}.png")


def check(images: FacesDataset, **entries: object) -> dict[Candidate, dict]:
    """Check all candidates for `Corner`, by candidate."""
    detector = Detector(Corner(), SMALL, CheckpointRecord(**entries))
    found = check_candidates(detector, images, Policy(), Compute(workers=0))
    return {Candidate(e["method"], e["layer"]): e for e in found}


def test_check_candidates_finds_maps_that_know_where_and_grad_cam_that_does_not(images):
    found = check(images)

    assert list(found) == [
        *(Candidate("gradient", ""), Candidate("input-x-gradient", "")),
        *(Candidate(m, "conv3") for m in ("grad-cam", "hires-cam", "layer-cam")),
    ]
    for candidate, entry in found.items():
        checks = {name: check["passed"] for name, check in entry["checks"].items()}
        knows = candidate.method != "grad-cam"
        assert entry["passed"] == (entry["sureness"] > 1) == knows
        if knows:
            assert checks == dict.fromkeys(
                ("randomisation", "deletion", "insertion"), 1
            )
        else:  # its one weight a channel is the mean of a pattern whose mean is 0
            assert list(checks.values())[-1] is False
            assert "insertion" not in checks


@pytest.mark.parametrize("place", [CORNER, np.s_[40:50, 4:14]])
def test_check_candidates_checks_masks_where_they_are(images, place):
    plant(images, place)

    entry = check(images)[Candidate("gradient", "")]

    assert entry["passed"] == entry["checks"]["mask"]["passed"] == (place == CORNER)
    assert ("deletion" in entry["checks"]) == (place == CORNER)


def test_trial_explains_what_images_are_called_and_its_rivals_are_those_of_the_checks(
    images, monkeypatch
):
    monkeypatch.setattr(explaining.shown, "NUM_STEPS", explaining.checks.NUM_STEPS)
    record = CheckpointRecord(threshold=1.0)
    detector = Detector(Corner(), SMALL, record)
    trial = MapTrial.of(detector, images, Policy(seed=3), Compute(workers=0))
    maps = np.random.default_rng(0).random((2 * NUM, 64, 64), np.float32)
    orders = order_cells(maps, 3)
    given = trial.samples, trial.targets, detector, Precision()

    assert trial.targets.tolist() == [REAL] * 2 * NUM
    assert trial.masks == [None] * 2 * NUM
    for insert in (False, True, False):
        finding = trial._judge_removal(orders["map"], insert=insert)
        expected = check_removal(Removal(*given, insert), orders)
        assert finding.sentence == expected["sentence"]
        assert finding.passed == expected["passed"]


def test_check_candidates_needs_images(images):
    few = images.drop(range(2 * NUM)[3 : 3 + 2 * NUM - LEAST_IMAGES + 1])

    found = check_candidates(as_detector(Corner()), few, Policy(), Compute())

    assert len(few) == LEAST_IMAGES - 1
    assert found is None
    assert describe_checked(found) == [
        f"maps are not checked: that takes {LEAST_IMAGES} validation images"
    ]


def make_entry(method: str, layer: str = "", sureness: float = 1.5, **entries) -> dict:
    return {
        **{"method": method, "layer": layer, "passed": True, "sureness": sureness},
        **{"checks": PASSED, **entries},
    }


def choose(entries: list | None) -> list[tuple[str, str]] | None:
    """Return titles of what is shown for a detector with these entries, and words."""
    detector = Detector(OneConvolution(), SMALL, CheckpointRecord(maps=entries))
    shown = choose_shown(detector, Precision())
    return shown and [(method.title, method.checked) for method in shown]


def test_choose_shown_takes_the_two_surest_of_those_that_passed():
    words = "passed: randomisation, insertion"
    entries = [
        make_entry("gradient", sureness=1.1),
        make_entry("input-x-gradient", sureness=9.0, passed=False),
        make_entry("hires-cam", "conv3", sureness=1.2),
        make_entry("layer-cam", "conv3", sureness=3.0),
    ]

    assert choose(None) is None
    assert choose([]) == choose(entries[1:2]) == []
    assert choose(entries) == [
        ("LayerCAM at conv3", words),
        ("HiResCAM at conv3", words),
    ]
    assert choose(entries[:2]) == [("saliency", words)]


@pytest.mark.parametrize(
    "entry",
    [
        *(None, 3, [], {}),
        make_entry("eigen-cam", "conv3"),
        make_entry("grad-cam", "fc"),
        make_entry("grad-cam", ["conv3"]),
        make_entry("gradient", passed="yes"),
        make_entry("gradient", sureness="9"),
        make_entry("gradient", checks=["deletion"]),
    ],
)
def test_choose_shown_leaves_out_what_this_suite_does_not_write(entry):
    assert choose([entry]) == []


def test_build_methods_says_where_nobody_has_checked_and_where_none_passed():
    detector = Detector(OneConvolution(), SMALL)
    usual = build_methods(detector, Precision())
    record = CheckpointRecord(maps=[make_entry("gradient", passed=False)])
    none = build_methods(replace(detector, record=record), Precision())
    record = CheckpointRecord(maps=[make_entry("gradient")])
    passed = build_methods(replace(detector, record=record), Precision())

    assert [m.title for m in usual] == ["saliency", "Grad-CAM at conv3"]
    assert {m.checked for m in usual} == {"not checked"}
    assert describe_shown(usual).startswith("nobody has checked")
    assert (none, describe_shown(none)) == ([], NONE_PASSED)
    assert [m.title for m in passed] == ["saliency"]
    assert describe_shown(passed).startswith("what is shown passed")


def test_describe_checked_says_what_passed_and_what_failed():
    failed = {**PASSED, "deletion": {"passed": False}}
    entries = [
        make_entry("gradient", passed=False, checks=failed),
        make_entry("layer-cam", "conv2"),
    ]

    assert describe_checked(entries) == [
        "checks of map gradient failed: deletion",
        "checks of map layer-cam at conv2 passed: randomisation, insertion",
    ]
    assert describe_checked(entries[:1])[-1] == NONE_PASSED
    record = CheckpointRecord(maps=[None, {"method": "gradient"}, *entries])
    record.maps.append({"method": "x", "layer": "", "checks": {"deletion": {}}})
    asked = Candidate("gradient", ""), Candidate("layer-cam", "conv2")
    said = [
        describe_check(record, each)
        for each in (*asked, Candidate("x", ""), Candidate("y", ""))
    ]
    assert said == ["failed: deletion", "passed: randomisation, insertion", "", ""]


def test_candidates_of_a_network_with_stages_include_an_earlier_one():
    network = nn.Module()
    network.conv2, network.conv3 = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    assert list_candidates(Detector(network))[-1] == ("layer-cam", "conv2")
    assert len(list_candidates(Detector(network, layer="conv9"))) == 2


@pytest.mark.slow
def test_training_and_calibration_store_which_maps_passed(
    images, small_simple_net, tmp_path, monkeypatch, capsys
):
    for split in ("train", "test"):
        (tmp_path / split).symlink_to(tmp_path / "val")
    monkeypatch.chdir(tmp_path)
    words = ["--data-root", tmp_path.parent, "--device", "cpu", "--workers", "0"]
    flags = ["-d", tmp_path.name, "-m", "SimpleNet", "-e", "1", "-b", "4"]
    train_main.main([*map(str, words), *flags])
    path = next(Path("checkpoints").glob("*Adam.pt"))
    trained = load_checkpoint(path)
    printed = capsys.readouterr().out
    make_checkpoint(Path("old.pt"), dataset=tmp_path.name)
    calibrate.main(["-cpp", "old.pt", *map(str, words), "--output", "new.pt"])
    assert read_checkpoint("old.pt")[1].maps is None

    for record, said in (
        (trained.record, printed),
        (read_checkpoint("new.pt")[1], capsys.readouterr().out),
    ):
        found = [Candidate(e["method"], e["layer"]) for e in record.maps]
        assert found == list_candidates(trained)
        assert all(line in said for line in describe_checked(record.maps))
