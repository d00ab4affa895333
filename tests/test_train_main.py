"""Training from the command line: files written, resumed, and bad input refused."""

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY, TinyNet
from script_helpers import PROJECT

import faces_dataset
import numerical_analysis
import predict
import train_main
from files.names import RunPaths, name_run_files
from files.tensors import load_tensors
from hardware import Compute, prepare_compute
from loading import Augmentation
from loading.sources.datasets import Source
from metrics.meaning import check_neighbours
from models import NETWORKS
from plots import style
from records.checkpoint_files import read_checkpoint
from records.history import CURVES, load_history
from records.recipe import Keeping, Recipe
from records.run_log import load_table
from utils import load_checkpoint, open_source, open_splits

pytestmark = pytest.mark.usefixtures("tiny_network")


def make_arguments(faces_root: Path, folder: Path, *more: str) -> list[str]:
    return [
        *("-d", faces_root.name, "--data-root", str(faces_root.parent)),
        *("-m", "TinyNet", "-o", "SGD", "-b", "2", "-lr", "0.01", "-e", "1"),
        *("--out-dir", str(folder / "out"), "--device", "cpu", "--precision", "fp32"),
        *("--checkpoints-dir", str(folder / "checkpoints"), *more),
    ]


def train(faces_root: Path, folder: Path, *more: str) -> int:
    return train_main.main(make_arguments(faces_root, folder, *more))


def get_files(
    folder: Path, model: str = "TinyNet", name: str | None = None
) -> RunPaths:
    folders = {"out_dir": folder / "out", "checkpoints_dir": folder / "checkpoints"}
    return name_run_files("faces", model, "SGD", name=name, **folders)


def list_written(files: RunPaths) -> list[Path]:
    return [files.history, files.checkpoint, files.snapshot]


def read_files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_curves(folder: Path, model: str = "TinyNet") -> list[dict[str, list[float]]]:
    runs = load_history(get_files(folder, model).history)
    return [{curve: run[curve] for curve in CURVES} for run in runs]


@pytest.fixture(scope="module")
def trained(tiny_network, faces_root, tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder of a training, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("trained"), io.StringIO()
    flags = ("--max-fpr", "0.3", "--fpr-confidence", "0.5", "--weight-decay", "0.1")
    with redirect_stdout(printed):
        assert train(faces_root, folder, "--momentum", "0.5", *flags) == 0
    return folder, printed.getvalue().splitlines()


def test_main_writes_the_files_of_the_reference(trained):
    folder, lines = trained
    files = get_files(folder)
    assert sorted(read_files(folder)) == sorted(list_written(files))
    (run,) = json.loads(files.history.read_text())
    assert (run["model"], run["dataset"]) == ("TinyNet", "faces")
    params = {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.5}
    assert run["optimizer"] == {"name": "SGD", "params": params}
    (group,) = load_tensors(files.snapshot)["trainer"]["optimizer"]["param_groups"]
    assert params.items() <= {**group, "lr": group["initial_lr"]}.items()
    assert all(len(run[curve]) == 1 for curve in CURVES)
    assert (run["warmup_steps"], run["bn_batches"], run["epochs"]) == (5, 12, 1)
    assert run["data"]["train"] == {"real": 5, "fake": 4}

    content = load_tensors(files.checkpoint)
    assert {"model", "val_acc", "test_acc", "epoch"} <= content.keys()
    _, record = read_checkpoint(files.checkpoint)
    assert (record.epoch, record.model_name, record.dataset) == (1, "TinyNet", "faces")
    assert (record.val_acc, record.test_acc) == (run["val_acc"][0], run["test_acc"][0])
    assert (record.run_id, record.flags) == (run["run_id"], run["flags"])
    assert record.flags["precision"] == "fp32"
    policy = "FPR at most 0.3 with confidence 0.5 on 5 validation images"
    assert record.threshold_policy == policy
    assert record.temperature_interval[0] < record.temperature_interval[1]
    assert record.log_losses[1] <= record.log_losses[0]
    assert None not in (record.llr_slope, record.llr_intercept, record.val_fake_share)
    rows = check_neighbours(record.reliability)  # of the test split
    assert record.reliability_split == "test"
    assert sum(row.num_samples for row in rows) == 5
    assert sum(row.num_fake for row in rows) == 3
    assert record.errors["none"][::2] == [3, 2]
    assert (record.kept_conditions, record.most_false_alarms) == (["none"], 1 / 3)
    assert len(record.real_differences) == 3
    assert record.guard == {}  # so few images do not tell what images are like

    assert lines[0] == "train: 9 images, 5 real and 4 fake (44.4 % fake)"
    assert lines[2:6] == [
        "test: 5 images, 2 real and 3 fake (60.0 % fake)",
        "model: TinyNet, 130 trainable parameters",
        "device: cpu, precision: fp32",
        "the learning rate grows to 0.01 in the first 5 steps",
    ]
    starts = ("best on validation: ", "threshold ", "these accuracies use the larger")
    for start in (
        *starts,
        "validation log loss",
        *(f"wrote {p}" for p in list_written(files)),
    ):
        assert start in {line[: len(start)] for line in lines}


def test_main_network_of_another_size_judges_as_it_was_measured(trained, faces_root):
    files = get_files(trained[0])
    detector = load_checkpoint(files.checkpoint)
    assert (detector.preprocessing, detector.layer) == (TINY.preprocessing, "conv")
    source = Source(faces_root.parent, "val")
    dataset = open_source("faces", source, preprocessing=detector.preprocessing)
    scored = detector.score(dataset, prepare_compute("cpu", "fp32"))
    logits, labels = torch.tensor(scored.logits), torch.tensor(scored.labels)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert loss == pytest.approx(load_history(files.history)[0]["val_loss"][0])


def test_train_on_kept_pixels_gives_the_same_numbers_and_weights(
    trained, faces_root, tmp_path, monkeypatch, capsys
):
    flags = ["--max-fpr", "0.3", "--fpr-confidence", "0.5", "--weight-decay", "0.1"]
    flags += ["--momentum", "0.5", "--keep-pixels", "--features-dir", str(tmp_path)]
    weights = load_tensors(get_files(trained[0]).checkpoint)["model"]
    for folder, start in (
        (tmp_path / "a", "pixels are kept in "),
        (tmp_path / "b", ""),
    ):
        assert train(faces_root, folder, *flags) == 0
        assert start in capsys.readouterr().out
        assert read_curves(folder) == read_curves(trained[0])
        own = load_tensors(get_files(folder).checkpoint)["model"]
        assert all(torch.equal(own[name], weights[name]) for name in weights)
        monkeypatch.setattr(faces_dataset, "read_image", None)  # the next needs no more
    assert len(list((tmp_path / "pixels").iterdir())) == 9 + 5 + 5


def test_train_from_python_equals_main(trained, faces_root, tmp_path, capsys):
    values = {"epochs": 1, "batch_size": 2, "momentum": 0.5, "lr": 0.01}
    values |= {"optimizer": "SGD", "weight_decay": 0.1}
    recipe = Recipe("faces", model="TinyNet", **values)
    keeping = Keeping(tmp_path / "out", tmp_path / "checkpoints")
    compute = prepare_compute("cpu", "fp32")
    source = Source(faces_root.parent)
    trainer, files = train_main.train(recipe, source, compute, keeping=keeping)
    assert [trainer.history] == read_curves(tmp_path) == read_curves(trained[0])
    assert files.best.epoch == 1


def test_build_trainer_takes_a_recipe_to_where_it_counts(faces_root, tiny_net):
    images = {"augment": "robust", "self_blend": 0.5, "cutmix": 0.2, "seed": 3}
    loop = {"class_weights": "balanced", "grad_clip": 2.0, "recalibrate_bn": 7}
    rates = {"lr": 0.1, "lr_schedule": "cosine", "warmup": 1, "epochs": 2}
    model, datasets = tiny_net(), open_splits("faces", Source(faces_root.parent))
    model.preprocessing = TINY.preprocessing
    recipe, compute = Recipe("faces", **images, **loop, **rates), Compute(batch_size=4)
    trainer = train_main.build_trainer(recipe, model, datasets, compute)
    assert trainer.criterion.weight.tolist() == pytest.approx([9 / 10, 9 / 8])
    assert (trainer.grad_clip, trainer.bn_batches) == (2.0, 7)
    (compute_factor,) = trainer.scheduler.lr_lambdas
    assert trainer.scheduler.base_lrs == [0.1]
    assert [compute_factor(step) for step in (0, 1, 2 * 3)] == [0.5, 1, 0]
    loaders = trainer.loaders.values()
    assert [(x.augmentation, x.training, x.seed) for x in loaders] == [
        (Augmentation("robust", 0.5, 0.2), True, 3),
        (Augmentation("none", 0.5), False, 3),
        (Augmentation("none"), False, 3),
    ]


VARIANTS = {
    "momentum": ["--momentum", "0.9", "--warmup", "3", "--precision", "bf16"],
    "changed images": [
        *("--augment", "robust", "--self-blend", "0.5", "--cutmix", "0.5"),
        *("--recalibrate-bn", "2", "--class-weights", "balanced"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("more", VARIANTS.values(), ids=VARIANTS)
def test_main_resumed_run_equals_the_undisturbed_one(faces_root, tmp_path, more):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(faces_root, whole, *more, "-e", "3")
    train(faces_root, parts, *more, "-e", "1")
    torch.manual_seed(99)  # a new process would have another random state
    train(faces_root, parts, *more, "-e", "3", "--resume")
    assert read_curves(whole) == read_curves(parts)
    expected, state = (
        load_tensors(get_files(folder).snapshot)["trainer"] for folder in (whole, parts)
    )
    for name, value in expected["model"].items():
        assert torch.equal(state["model"][name], value), name


@pytest.mark.slow
def test_main_resume_is_refused_for_other_flags_or_data(
    own_faces_root, tmp_path, refused, capsys
):
    train(own_faces_root, tmp_path / "run")
    before, tmp_path = read_files(tmp_path / "run"), tmp_path / "run"
    assert train(own_faces_root, tmp_path, "--resume") == 0
    said = capsys.readouterr().out
    assert "epochs done: 1; nothing to train: a larger --epochs would go on" in said
    with refused("--seed was 0, is now 4"):
        train(own_faces_root, tmp_path, "--resume", "-e", "2", "--seed", "4")
    image = own_faces_root / "train" / "real" / "00.png"
    image.rename(image.with_name("new.png"))
    with pytest.raises(ValueError, match="not those with which the run started"):
        train(own_faces_root, tmp_path, "--resume", "-e", "2")
    assert read_files(tmp_path) == before
    image.with_name("new.png").rename(image)
    assert train(own_faces_root, tmp_path, "--resume", "-e", "2") == 0
    assert load_history(get_files(tmp_path).history)[0]["epochs"] == 2


def test_main_weights_are_looked_for_unless_the_run_is_resumed(
    monkeypatch, faces_root, tmp_path, capsys
):
    loaded = []
    network = replace(
        TINY, load_weights=lambda _, path: loaded.append(path) or str(path)
    )
    monkeypatch.setitem(NETWORKS, "TinyNet", network)
    train(faces_root, tmp_path, "--weights", "w.pth")
    assert "weights to start from: w.pth" in capsys.readouterr().out
    train(faces_root, tmp_path, "--weights", "folder/w.pth", "-e", "2", "--resume")
    assert "weights to start from" not in capsys.readouterr().out
    train(faces_root, tmp_path, "--from-scratch", "--name", "s")
    assert "weights to start from: random ones" in capsys.readouterr().out
    assert loaded == [Path("w.pth")]
    with pytest.raises(ValueError, match="--weights was 'w.pth', is now 'o.pth'"):
        train(faces_root, tmp_path, "--weights", "o.pth", "-e", "3", "--resume")


@pytest.mark.slow
def test_main_network_with_a_wrong_layer_leaves_the_earlier_run(
    faces_root, trained, tmp_path, monkeypatch, refused
):
    shutil.copytree(trained[0], tmp_path, dirs_exist_ok=True)
    before = read_files(tmp_path)
    monkeypatch.setitem(NETWORKS, "TinyNet", replace(TINY, layer="conv9"))
    with refused("network TinyNet cannot be trained .* no layer 'conv9'; at the top"):
        train(faces_root, tmp_path)
    assert read_files(tmp_path) == before


def test_main_again_keeps_the_earlier_run_and_other_scripts_judge_both(
    faces_root, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["train_main.py"])
    monkeypatch.setattr(style, "PLOT_DPI", 20)
    monkeypatch.chdir(tmp_path)
    train(faces_root, tmp_path)
    before, files = read_files(tmp_path), get_files(tmp_path)
    train(faces_root, tmp_path)
    kept = [path.with_suffix(".1.pt") for path in (files.checkpoint, files.snapshot)]
    assert kept[0].read_bytes() == before[files.checkpoint]
    assert kept[1].read_bytes() == before[files.snapshot]
    *lines, advice = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"kept from an earlier run: {path}" for path in kept]
    first, second = load_history(files.history)
    assert first["run_id"] != second["run_id"]
    assert len({repr(curves) for curves in read_curves(tmp_path)}) == 1
    script, *words = shlex.split(advice.partition("python ")[2])
    assert script == "numerical_analysis.py"
    numerical_analysis.main([*words, "--resamples", "100"])
    assert f"faces_TinyNet_{kept[0].stem}_metrics.json" in capsys.readouterr().out
    table = tmp_path / "verdicts.csv"
    images = map(str, sorted((faces_root / "test").iterdir()))
    assert predict.main([*words[:3], *images, "--csv", str(table)]) == 0
    assert len(table.read_text().splitlines()) == 1 + 2 * 5


def test_main_flags_reach_what_they_are_for(faces_root, tmp_path, capsys, monkeypatch):
    handed, note = [], lambda model, device: handed.append(device.type)
    monkeypatch.setattr(train_main, "compile_model", note)
    train(faces_root, tmp_path, "--name", "a", "--limit", "1", "--warmup", "0")
    printed = capsys.readouterr().out
    assert "train: 2 images, 1 real and 1 fake" in printed
    assert "grows to" not in printed
    flags = ("--compile", "--warmup", "1", "--log", "csv", "csv", "--seed", "1")
    flags += ("--calibration-share", "0.4")  # of 5 images
    train(faces_root, tmp_path, "--name", "b-2", *flags)
    printed = capsys.readouterr().out
    assert "grows to 0.01 after the first step\n" in printed
    assert "kept" not in printed
    assert handed == ["cpu"]
    runs = [list_written(get_files(tmp_path, name=name)) for name in ("a", "b-2")]
    assert read_checkpoint(runs[1][1])[1].errors["none"][::2] == [1, 1]
    logs = get_files(tmp_path, name="b-2").logs[:2]
    assert sorted(read_files(tmp_path)) == sorted([*runs[0], *runs[1], *logs])
    assert load_table(logs[0])["step"] == [1, 2, 3, 4, 5]
    assert min(load_table(logs[0])["gradient_norm"]) > 0
    assert all(f"wrote {path}\n" in printed for path in logs)


@pytest.mark.slow
def test_main_several_runs_are_trained_and_resumed_each_by_itself(
    faces_root, tmp_path, capsys, monkeypatch
):
    flags = ("--folds", "2", "--seeds", "3", "4", "-e", "2", "--name", "a")
    train(faces_root, tmp_path / "whole", *flags)
    printed = capsys.readouterr().out
    names = ("a_fold0_seed3", "a_fold1_seed3", "a_fold0_seed4", "a_fold1_seed4")
    for number, name in enumerate(names, start=1):
        assert f"run {number} of 4, faces_TinyNet_SGD_{name}\n" in printed
        record = read_checkpoint(get_files(tmp_path / "whole", name=name).checkpoint)[1]
        fold, seed = record.flags["fold"], record.flags["seed"]
        assert f"a_fold{fold[0]}_seed{seed}" == name
    assert "test accuracy of 4 runs: " in printed
    assert printed.splitlines()[-1].endswith(f"{faces_root.parent} --runs")

    finish, epochs = train_main.finish_epoch, []

    def stop(files, trainer):
        finish(files, trainer)
        epochs.append(trainer.epoch)
        if len(epochs) == 3:  # the first of the second run
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(train_main, "finish_epoch", stop)
    assert train(faces_root, tmp_path / "parts", *flags) == 130
    capsys.readouterr()
    assert train(faces_root, tmp_path / "parts", *flags, "--resume") == 0
    titles = [li for li in capsys.readouterr().out.splitlines() if li[:4] == "run "]
    ends = [title.rpartition(": ")[2] for title in titles]
    assert ends == ["complete", "interrupted", "not begun", "not begun"]
    assert epochs == [1, 2, 1, 2, 1, 2, 1, 2]
    for name in names:
        runs = [
            load_history(get_files(tmp_path / part, name=name).history)
            for part in ("whole", "parts")
        ]
        (a,), (b,) = runs
        assert [a[curve] for curve in CURVES] == [b[curve] for curve in CURVES]
        assert a["data"]["train"] != {"real": 5, "fake": 4}  # not the folder's split
        assert b["seconds"] > 0
    with pytest.raises(ValueError, match="--lr was 0.01, is now 0.02"):
        train(faces_root, tmp_path / "parts", *flags, "-lr", "0.02", "--resume")


def test_main_model_that_answers_one_class_is_told(
    monkeypatch, faces_root, tmp_path, capsys
):
    def build():
        model = TinyNet()
        model.fc.bias.data = torch.tensor([0.0, 9.0])
        return model

    monkeypatch.setitem(NETWORKS, "TinyNet", replace(TINY, build=build))
    train(faces_root, tmp_path, "-lr", "1e-9", "-e", "2")
    *_, first, second = capsys.readouterr().out.split("answers 'fake' to 100 % of the ")
    assert "try a longer --warmup, a lower -lr, another --seed" in first.splitlines()[0]
    assert "epoch 2:" in first
    assert "it has not learnt" in second.splitlines()[0]


@pytest.mark.parametrize(
    ("bad", "kind", "reason"),
    [
        ("-d nothing", FileNotFoundError, "no dataset 'nothing'.*found: faces"),
        ("--data-root /nowhere", FileNotFoundError, "which is not there"),
        ("--device gpu", ValueError, "'gpu'; allowed"),
        ("--precision fp16", ValueError, "fp16"),
        ("--out-dir /dev/null/sub", OSError, "cannot write to the folder"),
        ("--checkpoints-dir /dev/null/sub", OSError, "cannot write to the folder"),
        ("--report", OSError, "cannot write to the folder .*figures"),
        ("--resume", FileNotFoundError, "there is no snapshot"),
        ("-m XceptionBased --weights {0}/bad.pth", ValueError, r"bad\.pth"),
        ("--max-fpr 0.01 --fpr-confidence 0.95", ValueError, "3 real images are too"),
    ],
)
def test_main_bad_value_is_refused_before_training(
    monkeypatch, faces_root, tmp_path, bad, kind, reason, refused
):
    monkeypatch.setattr(train_main.Trainer, "run", lambda *_: pytest.fail("it trains"))
    monkeypatch.setattr(train_main, "FIGURES_DIR", Path("/dev/null/figures"))
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with refused(reason, kind):
        train(faces_root, tmp_path, *bad.format(tmp_path).split())
    assert list(read_files(tmp_path)) == [tmp_path / "bad.pth"]


def test_main_bad_image_or_history_stops_before_training(
    own_faces_root, tmp_path, capsys, refused
):
    (own_faces_root / "train" / "real" / "00.png").write_bytes(b"")
    folder = tmp_path / "run"
    with refused(r"00\.png: the file is empty"):
        train(own_faces_root, folder)
    assert read_files(folder) == {}
    assert train(own_faces_root, folder, "--skip-bad-images") == 0
    history = get_files(folder).history
    (run,) = load_history(history)
    assert run["skipped_images"] == {"train": ["real/00.png"]}
    printed = capsys.readouterr().out
    assert "left out of train, unreadable: real/00.png" in printed
    assert "train: 8 images" in printed
    history.write_text("[]")
    before = read_files(folder)
    with pytest.raises(ValueError, match="is not a history"):
        train(own_faces_root, folder, "--skip-bad-images")
    assert read_files(folder) == before


def test_main_self_blend_needs_real_images_and_keeps_their_margin(
    own_faces_root, tmp_path, capsys
):
    for split in ("train", "val"):
        for path in (own_faces_root / split / "fake").iterdir():
            path.unlink()
    extracted = "path,margin\ntrain/real/00.png,1.5\n"
    (own_faces_root / "faces.csv").write_text(extracted)
    assert train(own_faces_root, tmp_path, "--self-blend") == 0
    printed = capsys.readouterr().out
    assert "train: 10 images, 5 real and 5 fake" in printed
    assert "about 100 % of the fakes are self-blended" in printed
    detector = load_checkpoint(get_files(tmp_path).checkpoint)
    assert detector.preprocessing == replace(TINY.preprocessing, crop_margin=1.5)


def test_main_report_that_fails_is_said_and_the_run_is_kept(
    faces_root, tmp_path, monkeypatch, capsys
):
    def fail(*args, **options):
        raise KeyError("a bug")

    monkeypatch.setattr("reporting.write_report", fail)
    monkeypatch.chdir(tmp_path)
    assert train(faces_root, tmp_path, "--report") == 1
    assert sorted(read_files(tmp_path)) == sorted(list_written(get_files(tmp_path)))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("the run is complete, but there is no report: 'a bug'; to")
    flags = f"-cpp {get_files(tmp_path).checkpoint} --data-root {faces_root.parent}"
    assert line.endswith(f"python report.py {flags}")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="another system")
def test_script_under_torchrun_lost_process_is_one_line(faces_root, tmp_path):
    flags = ("--workers", "0", "-e", "10000", "--checkpoint-minutes", "0.0001")
    words = make_arguments(faces_root, tmp_path, *flags)
    words = [word.replace("TinyNet", "SimpleNet") for word in words]
    options = {"cwd": PROJECT, "stderr": subprocess.PIPE, "text": True}
    options["env"] = {**os.environ, "OMP_NUM_THREADS": "1"}
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node=2", "train_main.py")
    process = subprocess.Popen([sys.executable, *torchrun, *words], **options)
    while not list(tmp_path.glob("checkpoints/*_last.pt")):
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
    assert "another process of this run ended; train_main.py" in ours[0]
    assert "[rank0]" not in error  # how torch prefixes a traceback


def test_finish_epoch_says_why_a_higher_accuracy_is_not_the_best(capsys):
    best = SimpleNamespace(val_fake_share=0.5, val_acc=44.0)
    files = SimpleNamespace(after_epoch=lambda trainer: None, best=best)
    history = {"val_acc": [44.0, 62.0]}
    told = {"epoch": 2, "is_best": lambda: False, "history": history}
    said = ["it gives one answer to all validation images, so it is not the best"]
    for logits, lines in (([[1.0, 0.0]] * 3, said), ([[1.0, 0.0], [0.0, 1.0]], [])):
        trainer = SimpleNamespace(**told, val_logits=torch.tensor(logits))
        train_main.finish_epoch(files, trainer)
        assert capsys.readouterr().out.splitlines() == lines
