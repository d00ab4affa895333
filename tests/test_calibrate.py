"""The script that chooses anew what a checkpoint's scores mean."""

from pathlib import Path

import pytest
import torch
from script_helpers import make_checkpoint

import calibrate
from judging.qualifying import NO_GUARD
from records.checkpoint_files import read_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, faces_root) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    return make_checkpoint(
        folder / "net.pt", dataset=faces_root.name, flags={"seed": 4}
    )


def run(faces_root: Path, checkpoint: Path, *more: str) -> None:
    words = ["-cpp", str(checkpoint), "--data-root", str(faces_root.parent), *more]
    calibrate.main([*words, "--device", "cpu", "--precision", "fp32"])


def test_main_writes_a_checkpoint_with_the_same_weights_and_says_what_came_of_it(
    faces_root, checkpoint, capsys
):
    before = checkpoint.read_bytes()
    more = ("--calibrate-under", "jpeg=70", "noise=20", "--max-fpr", "0.4")
    run(faces_root, checkpoint, *more, "--max-fnr", "0.4")
    assert checkpoint.read_bytes() == before
    output = checkpoint.with_name("net_calibrated.pt")
    (state, old), (again, new) = map(read_checkpoint, (checkpoint, output))
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert (old.errors, old.stable_versions) == ({}, None)
    assert list(new.errors) == ["none", "jpeg=70", "noise=20"]
    assert new.most_false_alarms == 0.4
    assert new.real_below <= new.threshold
    assert new.flags == old.flags
    printed = capsys.readouterr().out
    assert "images compressed as JPEG of quality 70: " in printed
    assert "(chosen now: " in printed
    assert f"note: {NO_GUARD}\n" in printed
    assert "note: chosen on only 3 real and 2 fake images: " in printed
    assert printed.endswith(f"wrote {output}\n")
    earlier = output.read_bytes()
    run(faces_root, checkpoint, *more, "--max-fnr", "0.4", "--output", str(output))
    assert read_checkpoint(output)[1] == new
    kept = output.with_name("net_calibrated.1.pt")
    assert f"kept from an earlier run: {kept}\n" in capsys.readouterr().out
    assert kept.read_bytes() == earlier
    run(faces_root, checkpoint, *more, "--max-fnr", "0.4", "--seed", "5")
    assert read_checkpoint(output)[1] != new


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--calibrate-under", "face=97"], "face=160, face=128"),
        (["--max-fpr", "2"], "--max-fpr"),
        (["-d", "nothing"], "there is no dataset 'nothing'"),
        (["--fpr-confidence", "0.9"], "--max-fpr"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    words, expected, faces_root, checkpoint, tmp_path, capsys
):
    output = tmp_path / "out.pt"
    with pytest.raises((ValueError, OSError, SystemExit)) as error:
        run(faces_root, checkpoint, "--output", str(output), *words)
    said = f"{error.value}{capsys.readouterr().err}"
    assert expected in said.splitlines()[-1]
    assert not output.exists()


def test_main_without_the_training_s_dataset_asks_for_another(faces_root, tmp_path):
    checkpoint = make_checkpoint(tmp_path / "net.pt", dataset="elsewhere")
    with pytest.raises(FileNotFoundError, match="give -d with a dataset of your own"):
        run(faces_root, checkpoint)


def test_main_calibrates_on_the_images_that_chose_no_epoch(faces_root, tmp_path):
    runs = ({}, [3, 2]), ({"fold": "1/2"}, [4, 3]), ({"calibration_share": 0.4}, [1, 1])
    for of_run, numbers in runs:
        flags = {"seed": 1, **of_run}
        path = make_checkpoint(tmp_path / "f.pt", dataset="faces", flags=flags)
        run(faces_root, path)
        record = read_checkpoint(tmp_path / "f_calibrated.pt")[1]
        assert record.errors["none"][::2] == numbers
