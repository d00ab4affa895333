"""Training from the command line: files written, resumed, and bad input refused."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import TinyNet

import models
import numerical_analysis
import train_main
import utils
from files.history import CURVES, load_history
from files.tensors import load_tensors, save_tensors
from loading.preprocessing import PUBLISHED
from metrics.calibration import check_neighbours
from utils import get_nof_parameters, load_checkpoint

NAME = "faces_SimpleNet_SGD"


@pytest.fixture
def tiny_model(monkeypatch):
    """Lets the name SimpleNet build a tiny network: these runs take no time."""

    monkeypatch.setattr(utils, "build_model", lambda *_, **__: TinyNet(PUBLISHED))


def make_arguments(faces_root: Path, folder: Path, *more: str) -> list[str]:
    return [
        *("-d", faces_root.name, "--data-root", str(faces_root.parent)),
        *("-m", "SimpleNet", "-o", "SGD", "-b", "2", "-lr", "0.01", "-e", "1"),
        *("--out-dir", str(folder / "out"), "--device", "cpu"),
        *("--checkpoints-dir", str(folder / "checkpoints"), *more),
    ]


def train(faces_root: Path, folder: Path, *more: str) -> int:
    return train_main.main(make_arguments(faces_root, folder, *more))


def get_files(folder: Path) -> tuple[Path, Path, Path]:
    checkpoints = folder / "checkpoints"
    return (
        folder / "out" / f"{NAME}.json",
        checkpoints / f"{NAME}.pt",
        checkpoints / f"{NAME}_last.pt",
    )


def list_files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_main_simple_net_end_to_end(faces_root, tmp_path, capsys):
    assert train(faces_root, tmp_path, "--limit", "2") == 0
    printed = capsys.readouterr().out
    assert "18,5" in printed or f"{get_nof_parameters(models.SimpleNet()):,}" in printed
    history, checkpoint, snapshot = get_files(tmp_path)
    assert load_history(history)[0]["model"] == "SimpleNet"
    assert load_checkpoint(checkpoint).name == "SimpleNet"
    assert snapshot.exists()


@pytest.mark.slow
def test_main_under_torchrun_gives_the_numbers_of_one_process(faces_root, tmp_path):
    script = Path(train_main.__file__)
    launchers = {
        "one": [],
        "two": ["-m", "torch.distributed.run", "--nproc-per-node=2"],
    }
    records, policies = [], []
    for name, launcher in launchers.items():
        arguments = make_arguments(
            faces_root, tmp_path / name, "--precision", "fp32", "--workers", "0"
        )
        done = subprocess.run(
            [sys.executable, *launcher, str(script), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("wrote ") == 3  # only the first process speaks
        history_path, checkpoint_path, _ = get_files(tmp_path / name)
        (record,) = load_history(history_path)
        records.append(record)
        policies.append(load_tensors(checkpoint_path)["threshold_policy"])
    for curve in CURVES:
        assert records[1][curve] == pytest.approx(records[0][curve], rel=1e-4), curve
    assert policies[0] == policies[1]  # both chose on the whole validation split


@pytest.mark.slow
def test_main_with_report_writes_the_runs_page(
    faces_root, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)

    assert train(faces_root, tmp_path, "--report") == 0

    page = Path("figures") / f"{NAME}_report.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {page}"
    assert "Loss in epoch 1 of 1" in page.read_text()


@pytest.mark.slow
def test_main_with_report_under_torchrun_judges_the_whole_split(faces_root, tmp_path):
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2"]
    arguments = make_arguments(faces_root, tmp_path, "--report", "--workers", "0")
    done = subprocess.run(
        [sys.executable, *launcher, str(Path(train_main.__file__)), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    page = (tmp_path / "figures" / f"{NAME}_report.html").read_text()
    assert "(n = 5: 2 real and 3 fake images)" in page


def test_report_that_fails_is_said_and_the_run_is_kept(
    tiny_model, faces_root, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)

    assert train(faces_root, tmp_path, "--report") == 1  # no conv3 for Grad-CAM

    history, checkpoint, snapshot = get_files(tmp_path)
    assert load_history(history)[0]["best_epoch"] == 1
    assert load_checkpoint(checkpoint)
    assert snapshot.exists()
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("the run is complete, but there is no report: ")
    again = f"python report.py -cpp {checkpoint} --data-root {faces_root.parent}"
    assert f"{again} tries again" in captured.err
    assert not Path("figures").exists()


def test_report_that_cannot_be_written_is_refused_before_training(
    tiny_model, faces_root, tmp_path, monkeypatch
):
    monkeypatch.setattr(train_main, "FIGURES_DIR", Path("/dev/null/figures"))

    with pytest.raises(OSError, match="cannot write to the folder"):
        train(faces_root, tmp_path, "--report")

    assert list_files(tmp_path) == set()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="another system")
def test_main_under_torchrun_lost_process_is_one_line(faces_root, tmp_path):
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2"]
    flags = ("-e", "10000", "--checkpoint-minutes", "0.0001", "--workers", "0")
    arguments = make_arguments(faces_root, tmp_path, *flags)
    process = subprocess.Popen(
        [sys.executable, *launcher, str(Path(train_main.__file__)), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not get_files(tmp_path)[2].exists():
        assert process.poll() is None
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    (second,) = [
        int(child)
        for child in children.split()
        if b"\0RANK=1\0" in Path(f"/proc/{child}/environ").read_bytes()
    ]
    os.kill(second, signal.SIGKILL)
    error = process.communicate(timeout=120)[1]
    ours = [line for line in error.splitlines() if line.startswith("train_main.py: ")]
    assert len(ours) == 1
    assert "another process of this training ended; --resume goes on" in ours[0]
    assert "[rank0]" not in error  # how torch prefixes a traceback


def test_main_writes_the_files_of_the_reference(
    tiny_model, faces_root, tmp_path, capsys
):
    assert train(faces_root, tmp_path, "--momentum", "0.5") == 0
    history_path, checkpoint_path, snapshot_path = get_files(tmp_path)
    names = {p.relative_to(tmp_path).as_posix() for p in get_files(tmp_path)}
    assert list_files(tmp_path) == names

    (run,) = json.loads(history_path.read_text())
    assert (run["model"], run["dataset"]) == ("SimpleNet", "faces")
    assert run["optimizer"]["name"] == "SGD"
    assert run["optimizer"]["params"]["lr"] == 0.01
    assert run["optimizer"]["params"]["momentum"] == 0.5
    assert all(len(run[curve]) == 1 for curve in CURVES)
    assert 0 <= run["val_acc"][0] <= 100

    checkpoint = load_tensors(checkpoint_path)
    assert {"model", "val_acc", "test_acc", "epoch"} <= checkpoint.keys()
    assert (checkpoint["epoch"], checkpoint["model_name"]) == (1, "SimpleNet")
    assert checkpoint["val_acc"] == run["val_acc"][0]
    assert checkpoint["test_acc"] == run["test_acc"][0]
    assert checkpoint["class_names"] == ["real", "fake"]
    assert checkpoint["run_id"] == run["run_id"]
    model = load_checkpoint(checkpoint_path, "SimpleNet")
    assert model.threshold == checkpoint["threshold"]

    lines = capsys.readouterr().out.splitlines()
    assert "train: 9 images, 5 real and 4 fake (44.4 % fake)" in lines
    assert "test: 5 images, 2 real and 3 fake (60.0 % fake)" in lines
    assert any("trainable parameters" in line for line in lines)
    assert any(line.startswith("device: cpu, precision: ") for line in lines)
    assert any(line.startswith("best validation accuracy") for line in lines)
    for path in (history_path, checkpoint_path, snapshot_path):
        assert f"wrote {path}" in lines


def test_main_limit_takes_so_many_of_each_class(
    tiny_model, faces_root, tmp_path, capsys
):
    train(faces_root, tmp_path, "--limit", "1")
    assert "train: 2 images, 1 real and 1 fake" in capsys.readouterr().out


def test_main_second_run_is_appended_to_the_history(tiny_model, faces_root, tmp_path):
    for _ in range(2):
        train(faces_root, tmp_path)
    first, second = load_history(get_files(tmp_path)[0])
    assert first["run_id"] != second["run_id"]
    assert {c: first[c] for c in CURVES} == {c: second[c] for c in CURVES}


RECIPES = {
    "plain": ["--precision", "fp32"],
    "momentum": ["--momentum", "0.9", "--warmup", "3", "--max-fpr", "0.1"],
    "recalibrated": ["--recalibrate-bn", "2", "--class-weights", "balanced"],
}


@pytest.mark.parametrize("more", RECIPES.values(), ids=RECIPES)
def test_main_resumed_run_equals_the_undisturbed_one(
    tiny_model, faces_root, tmp_path, more
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(faces_root, whole, *more, "-e", "3")
    train(faces_root, parts, *more, "-e", "1")
    torch.manual_seed(99)  # a new process would have another random state
    train(faces_root, parts, *more, "-e", "3", "--resume")
    (expected,), (run,) = (load_history(get_files(f)[0]) for f in (whole, parts))
    assert {c: run[c] for c in CURVES} == {c: expected[c] for c in CURVES}
    for number in (1, 2):
        expected = load_tensors(get_files(whole)[number])
        result = load_tensors(get_files(parts)[number])
        weights, expected_weights = (
            state["model"] if number == 1 else state["trainer"]["model"]
            for state in (result, expected)
        )
        for name, value in expected_weights.items():
            assert torch.equal(weights[name], value), name


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        (["-b", "3"], "--batch-size was 2, is now 3"),
        (["-lr", "0.5"], "--lr was 0.01, is now 0.5"),
        (["--seed", "4"], "--seed was 0, is now 4"),
    ],
)
def test_main_resume_with_other_flags_is_refused(
    tiny_model, faces_root, tmp_path, more, shown, one_line
):
    train(faces_root, tmp_path)
    before = [path.read_bytes() for path in get_files(tmp_path)]
    with pytest.raises(ValueError, match=shown) as error:
        train(faces_root, tmp_path, "--resume", "-e", "2", *more)
    one_line(error)
    assert [path.read_bytes() for path in get_files(tmp_path)] == before


def test_main_resume_of_a_run_older_than_a_flag_goes_on_without_it(
    tiny_model, faces_root, tmp_path, one_line
):
    train(faces_root, tmp_path)
    *_, path = get_files(tmp_path)
    snapshot = load_tensors(path)
    del snapshot["flags"]["full_decoding"]
    save_tensors(snapshot, path)
    with pytest.raises(ValueError, match="--full-decoding was None") as error:
        train(faces_root, tmp_path, "--resume", "-e", "2", "--full-decoding")
    one_line(error)
    assert train(faces_root, tmp_path, "--resume", "-e", "2") == 0


def test_main_compile_hands_the_model_over(
    tiny_model, faces_root, tmp_path, monkeypatch
):
    handed = []
    monkeypatch.setattr(
        train_main, "compile_model", lambda model, device: handed.append(device.type)
    )
    for flags in ([], ["--compile"]):
        train(faces_root, tmp_path, *flags)
    assert len(handed) == 1


def test_main_resume_with_other_data_is_refused(tiny_model, own_faces_root, tmp_path):
    train(own_faces_root, tmp_path)
    image = own_faces_root / "train" / "real" / "00.png"
    image.rename(image.with_name("new.png"))
    with pytest.raises(ValueError, match="not those that the run started with"):
        train(own_faces_root, tmp_path, "--resume", "-e", "2")


def test_main_resume_with_the_weights_flag_repeated_goes_on(
    monkeypatch, faces_root, tmp_path
):
    asked = []

    def build(name, *, weights_path, from_scratch):
        asked.append((weights_path, from_scratch))
        return TinyNet(PUBLISHED)

    monkeypatch.setattr(utils, "build_model", build)
    weights = tmp_path / "weights.pth"
    more = ("-m", "XceptionBased", "--weights", str(weights))
    train(faces_root, tmp_path, *more)
    train(faces_root, tmp_path, *more, "-e", "2", "--resume")
    assert asked[0] == (weights, False)
    assert all(path is None and random for path, random in asked[1:])
    with pytest.raises(
        ValueError, match=r"--weights was 'weights.pth', is now 'o.pth'"
    ):
        train(faces_root, tmp_path, *more[:-1], "o.pth", "-e", "2", "--resume")


def test_main_resume_of_a_finished_run_says_that_nothing_is_left(
    tiny_model, faces_root, tmp_path, capsys
):
    train(faces_root, tmp_path)
    assert "nothing to train" not in capsys.readouterr().out
    before = [path.read_bytes() for path in get_files(tmp_path)]
    assert train(faces_root, tmp_path, "--resume") == 0
    assert "nothing to train: a larger --epochs would go on" in capsys.readouterr().out
    assert [path.read_bytes() for path in get_files(tmp_path)] == before
    train(faces_root, tmp_path, "--resume", "-e", "2")
    assert load_history(get_files(tmp_path)[0])[0]["epochs"] == 2


def test_main_without_resume_keeps_an_earlier_run(
    tiny_model, faces_root, tmp_path, capsys
):
    train(faces_root, tmp_path)
    before = [path.read_bytes() for path in get_files(tmp_path)[1:]]
    train(faces_root, tmp_path, "--limit", "1")
    folder = tmp_path / "checkpoints"
    kept = [folder / f"{NAME}.1.pt", folder / f"{NAME}_last.1.pt"]
    assert [path.read_bytes() for path in kept] == before
    printed = capsys.readouterr().out
    assert all(f"kept an earlier run's file as {path}" in printed for path in kept)


@pytest.mark.slow
def test_main_kept_files_come_last_with_a_command_that_works(
    tiny_model, faces_root, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["train_main.py"])
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        train(faces_root, tmp_path, "--full-decoding")
    *_, checkpoint, snapshot, advice = capsys.readouterr().out.splitlines()
    kept = tmp_path / "checkpoints" / f"{NAME}.1.pt"
    assert checkpoint == f"kept from an earlier run: {kept}"
    assert snapshot.endswith(f"{NAME}_last.1.pt")
    script, *arguments = shlex.split(advice.partition("python ")[2])
    assert script == "numerical_analysis.py"
    assert arguments[-1] == "--full-decoding"
    numerical_analysis.main([*arguments, "--resamples", "20"])
    assert f"faces_SimpleNet_{NAME}.1_metrics.json" in capsys.readouterr().out


def test_main_name_keeps_runs_apart(tiny_model, faces_root, tmp_path, capsys):
    for word in ("a", "b-2"):
        train(faces_root, tmp_path, "--name", word)
    assert "kept" not in capsys.readouterr().out
    assert list_files(tmp_path) == {
        f"{folder}/{NAME}_{word}{end}"
        for word in ("a", "b-2")
        for folder, end in (
            ("out", ".json"),
            ("checkpoints", ".pt"),
            ("checkpoints", "_last.pt"),
        )
    }
    assert train(faces_root, tmp_path, "--name", "a", "--resume", "-e", "2") == 0


def test_main_checkpoint_holds_what_was_chosen_on_validation(
    tiny_model, faces_root, tmp_path, capsys
):
    train(faces_root, tmp_path, "--max-fpr", "0.3", "--fpr-confidence", "0.5")
    assert "validation log loss" in capsys.readouterr().out
    content = load_tensors(get_files(tmp_path)[1])
    policy = "FPR at most 0.3 with confidence 0.5 on 5"
    assert content["threshold_policy"].startswith(policy)
    low, high = content["temperature_interval"]
    assert low < high
    before, after = content["log_losses"]
    assert after <= before
    names = ("temperature", "logit_bias", "llr_slope", "llr_intercept")
    assert all(type(content[name]) is float for name in names)
    rows = check_neighbours(content["reliability"])
    assert sum(row.num_samples for row in rows) == 5
    assert sum(row.num_fake for row in rows) == 2


def test_main_confidence_of_too_few_images_is_refused(
    tiny_model, faces_root, tmp_path, one_line
):
    with pytest.raises(ValueError, match="3 real images are too few") as error:
        train(faces_root, tmp_path, "--max-fpr", "0.01", "--fpr-confidence", "0.95")
    one_line(error)
    assert list_files(tmp_path) == set()  # before anything was trained


def test_main_warmup_by_default_and_none_when_so_asked(
    tiny_model, faces_root, tmp_path, capsys
):
    train(faces_root, tmp_path)
    assert "grows to 0.01 in the first 5 steps" in capsys.readouterr().out
    train(faces_root, tmp_path, "--warmup", "1")
    assert "grows to 0.01 after the first step\n" in capsys.readouterr().out
    train(faces_root, tmp_path, "--warmup", "0")
    assert "grows to" not in capsys.readouterr().out
    runs = load_history(get_files(tmp_path)[0])
    assert [run["warmup_steps"] for run in runs] == [5, 1, 0]


def test_main_model_that_answers_one_class_is_told(
    monkeypatch, faces_root, tmp_path, capsys
):
    model = TinyNet(PUBLISHED)
    torch.nn.init.constant_(model.head.bias, 0)
    model.head.bias.data[1] = 9
    monkeypatch.setattr(utils, "build_model", lambda *_, **__: model)
    train(faces_root, tmp_path, "-lr", "1e-9", "-e", "2")
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if "answers 'fake' to 100 % of the valid" in line]
    assert len(told) == 2
    number = next(i for i, line in enumerate(lines) if line.startswith("epoch 1:"))
    assert lines[number + 1] == told[0]  # before the second epoch
    assert "try a longer --warmup, a lower -lr, another --seed" in told[0]
    assert "it has not learnt" in told[1]
    assert any("accuracies above are those of the larger" in x for x in lines)


@pytest.mark.parametrize(
    ("fake_share", "told"),
    [(0.0, "'real' to 100 %"), (0.02, "'real' to 98 %"), (0.99, "'fake' to 99 %")],
)
def test_describe_one_class_nearly_all_images_alike_is_said(fake_share, told):
    assert told in train_main.describe_one_class(fake_share)


@pytest.mark.parametrize("fake_share", [0.03, 0.5, 0.97])
def test_describe_one_class_else_says_nothing(fake_share):
    assert train_main.describe_one_class(fake_share) is None


def test_main_resume_without_a_snapshot_is_refused(
    tiny_model, faces_root, tmp_path, one_line
):
    with pytest.raises(FileNotFoundError, match="there is no snapshot") as error:
        train(faces_root, tmp_path, "--resume")
    one_line(error)
    assert list_files(tmp_path) == set()


@pytest.mark.parametrize(
    "bad",
    [
        ["-m", "ResNet"],
        ["-e", "0"],
        ["-lr", "-0.1"],
        ["-lr", "nan"],
        ["-b", "0"],
        ["-o", "RMSprop"],
        ["--momentum", "1"],
        ["--seed", "-1"],
        ["--weights", "x.pth"],
        ["--limit", "none"],
        ["--grad-clip", "0"],
        ["--max-fpr", "eer"],
        ["--max-fpr", "2"],
        ["--name", "a/b"],
        ["--unknown"],
    ],
    ids=" ".join,
)
def test_main_bad_flag_is_one_line_and_status_2(faces_root, tmp_path, capsys, bad):
    with pytest.raises(SystemExit) as exit_:
        train(faces_root, tmp_path, *bad)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bad", "kind", "reason"),
    [
        (["-d", "nothing"], FileNotFoundError, "no dataset 'nothing'.*found: faces"),
        (["--data-root", "/nowhere"], FileNotFoundError, "holds no dataset"),
        (["--device", "gpu"], ValueError, "'gpu'; allowed"),
        (["--precision", "fp16"], ValueError, "fp16"),
    ],
)
def test_main_bad_value_writes_nothing(
    tiny_model, faces_root, tmp_path, bad, kind, reason, one_line
):
    with pytest.raises(kind, match=reason) as error:
        train(faces_root, tmp_path, *bad)
    one_line(error)
    assert list_files(tmp_path) == set()


@pytest.mark.parametrize("flag", ["--out-dir", "--checkpoints-dir"])
def test_main_unwritable_folder_is_refused_first(faces_root, tmp_path, flag, one_line):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot write to the folder") as error:
        train(faces_root, tmp_path, flag, str(tmp_path / "file" / "sub"))
    one_line(error)
    assert list_files(tmp_path) == {"file"}


def test_main_history_that_is_none_is_refused_before_training(
    tiny_model, faces_root, tmp_path, one_line
):
    train(faces_root, tmp_path)
    history_path, *others = get_files(tmp_path)
    before = [path.read_bytes() for path in others]
    history_path.write_text("[]")
    with pytest.raises(ValueError, match="is no history") as error:
        train(faces_root, tmp_path)
    one_line(error)
    assert [path.read_bytes() for path in others] == before


def test_main_bad_weights_file_is_refused(faces_root, tmp_path, one_line):
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    more = ("-m", "XceptionBased", "--weights", str(tmp_path / "bad.pth"))
    with pytest.raises(ValueError, match=r"bad\.pth") as error:
        train(faces_root, tmp_path, *more)
    one_line(error)
    assert list_files(tmp_path) == {"bad.pth"}


def test_main_bad_image_stops_before_training_or_is_left_out(
    tiny_model, own_faces_root, tmp_path, capsys, one_line
):
    (own_faces_root / "train" / "real" / "00.png").write_bytes(b"")
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match=r"00\.png: the file is empty") as error:
        train(own_faces_root, folder)
    one_line(error)
    assert list_files(folder) == set()
    assert train(own_faces_root, folder, "--skip-bad-images") == 0
    (run,) = load_history(get_files(folder)[0])
    assert run["skipped_images"] == {"train": ["real/00.png"]}
    assert "train: 8 images" in capsys.readouterr().out


def test_main_self_blend_needs_real_training_images_only(
    tiny_model, own_faces_root, tmp_path, capsys
):
    for split in ("train", "val"):
        for path in (own_faces_root / split / "fake").iterdir():
            path.unlink()
    assert train(own_faces_root, tmp_path, "--self-blend") == 0
    output = capsys.readouterr().out
    assert "train: 10 images, 5 real and 5 fake" in output
    assert "about 100 % of the fakes are self-blended real images" in output
    flags = load_history(get_files(tmp_path)[0])[0]["flags"]
    assert (flags["self_blend"], flags["augment"]) == (1.0, "published")


def test_main_everything_that_changes_images_resumes_bit_for_bit(
    tiny_model, faces_root, tmp_path
):
    more = ("--augment", "robust", "--self-blend", "0.5", "--cutmix", "0.5")
    train(faces_root, tmp_path / "whole", *more, "-e", "3")
    train(faces_root, tmp_path / "parts", *more, "-e", "1")
    train(faces_root, tmp_path / "parts", *more, "-e", "3", "--resume")
    records = [
        load_history(get_files(tmp_path / name)[0])[0] for name in ("whole", "parts")
    ]
    for curve in CURVES:
        assert records[0][curve] == records[1][curve]


def test_parse_args_face_landmarks_without_self_blend_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        train_main.parse_args(["--face-landmarks"])
    assert stop.value.code == 2
    assert "--face-landmarks goes with --self-blend" in capsys.readouterr().err
    args = train_main.parse_args(["--face-landmarks", "--self-blend"])
    assert args.face_landmarks


def test_parse_args_recipe_sets_defaults_that_flags_override():
    args = train_main.parse_args(["--recipe", "general", "-e", "3", "-m", "SimpleNet"])
    assert (args.self_blend, args.augment, args.lr_schedule) == (
        0.5,
        "robust",
        "cosine",
    )
    assert (args.epochs, args.model) == (3, "SimpleNet")
    bare = train_main.parse_args([])
    assert bare == train_main.parse_args(["--recipe", "published"])
    assert (bare.self_blend, bare.augment, bare.cutmix) == (0, "published", 0)


@pytest.mark.parametrize("recipe", train_main.RECIPES)
def test_parse_args_recipe_names_only_flags_that_there_are(recipe):
    known = vars(train_main.parse_args([]))
    assert set(train_main.RECIPES[recipe]) <= set(known)
    args = vars(train_main.parse_args(["--recipe", recipe]))
    assert args == {**known, **train_main.RECIPES[recipe], "recipe": recipe}
