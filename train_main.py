"""Train a detector of fake faces; keep its history and its best checkpoint."""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import command_line
from command_line import say
from command_line.compute import take_compute, take_network, take_source

import numpy as np
from torch import channels_last, nn

from faces_dataset import (
    FacesDataset,
    choose_random,
    compute_fingerprint,
    compute_weights,
    count_classes,
    describe_split,
)
from files.atomic import check_writable
from files.names import FIGURES_DIR, RunPaths
from files.provenance import format_command, format_now
from hardware import (
    Compute,
    Precision,
    compile_model,
    describe_kernels,
    distributed,
    prepare_compute,
)
from judging.parts import measure_parts
from judging.qualifying import Policy, augment_validation, split_calibration
from judging.words import describe_one_class, describe_part, describe_qualification
from loading import Augmentation, BatchLoader
from loading.face_finding import FaceFinder
from loading.sources.datasets import Source
from models import build_model, get_network
from records.checkpoint import start_record
from records.checkpoint_files import read_checkpoint, save_with_record
from records.recipe import Keeping, Recipe, list_runs
from records.run_files import (
    InterruptedRunError,
    RunFiles,
    is_complete,
    let_signals_stop,
    load_snapshot,
)
from records.run_log import RunLog
from trainer import Trainer
from tuning import (
    HeadTrainer,
    Probe,
    Tuning,
    check_before_training,
    hash_start,
    keep_start,
    list_frozen,
    list_stages,
    select_start,
    tune,
)
from tuning.optimizers import build_criterion, build_optimizer, build_scheduler
from utils import (
    drop_bad_images,
    find_shared_files,
    get_nof_parameters,
    keep_pixels,
    load_checkpoint,
    open_splits,
    seed_everything,
    take_fold,
)

Splits = Mapping[str, FacesDataset]
MOST_COMPARED = 2000  # training images, on which layers are compared
ONE_CLASS_CURES = (
    "a longer --warmup, a lower -lr, another --seed, or for XceptionBased "
    "--recalibrate-bn 12 (docs/results.md)"
)
EPILOG = """examples:
  python train_main.py -d fakes_dataset -m SimpleNet -lr 0.001 -b 32 -e 5 -o Adam
  python train_main.py -d synthetic_dataset -m XceptionBased -lr 0.001 -b 32 -e 2
  python train_main.py -d synthetic_dataset -m XceptionBased -e 5 --resume
  python train_main.py -d synthetic_dataset --recipe small-set
  python train_main.py -d synthetic_dataset --recipe general --name general
  python train_main.py -d fakes_dataset --recipe photographs
  python train_main.py -d fakes_dataset --recipe small-set --seeds 0 1 2
  python train_main.py -d fakes_dataset --folds 5 --group-by prefix

writes:
  out/DATASET_MODEL_OPTIMIZER.json              history: a record of each run
  checkpoints/DATASET_MODEL_OPTIMIZER.pt        best epoch on validation
  checkpoints/DATASET_MODEL_OPTIMIZER_last.pt   what --resume goes on from
  out/DATASET_MODEL_OPTIMIZER_steps.csv         with --log csv: a row a step
  out/DATASET_MODEL_OPTIMIZER_epochs.csv        with --log csv: a row an epoch
  out/DATASET_MODEL_OPTIMIZER_tensorboard       with --log tensorboard: curves
  figures/DATASET_MODEL_OPTIMIZER_report.html   with --report: the run as a page

With --name WORD they are called DATASET_MODEL_OPTIMIZER_WORD. An earlier run's
checkpoint, snapshot and logs of the same name are renamed, not replaced. The runs of
--seeds and --folds have such words: seed0, fold0, fold0_seed0, WORD_seed0."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; `recipes` holds what defines each run."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_source_flags(parser)
    command_line.add_device_flags(parser)
    command_line.add_recipe_flags(parser, take_network)
    command_line.add_runs_flags(parser)
    command_line.add_keeping_flags(parser)
    args = parser.parse_args(argv)
    try:
        args.recipe = command_line.take_recipe(args)
        args.recipes = list_runs(args.recipe, args.seeds, args.folds)
    except ValueError as error:
        parser.error(str(error))
    if args.recipe.weights and get_network(args.recipe.model).load_weights is None:
        parser.error(f"--weights: {args.recipe.model} starts from random weights")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script."""
    args = parse_args(argv)
    keeping = command_line.take_fields(args, Keeping)
    for recipe in args.recipes if args.report else ():
        check_writable(FIGURES_DIR, keeping.name_files(recipe).checkpoint.stem)
    compute = take_compute(args, batch_size=args.recipe.batch_size)
    source = take_source(args, "train")
    try:
        for recipe, kept in choose_runs(args.recipes, keeping, source, compute):
            print_end(*train(recipe, source, compute, keeping=kept), source)
    except InterruptedRunError as interruption:
        return interruption.status
    if args.recipes[1:]:
        print_runs(args.recipes, keeping, source)
    if not args.report:
        return 0
    return save_reports(args.recipes, keeping, source, compute=compute, words=argv)


def choose_runs(
    recipes: Sequence[Recipe], keeping: Keeping, source: Source, compute: Compute
) -> Iterator[tuple[Recipe, Keeping]]:
    """Yield the runs to train; of several that are resumed, those not complete."""
    for number, recipe in enumerate(recipes, start=1):
        if not recipes[1:]:
            yield recipe, keeping
            continue
        paths = keeping.name_files(recipe)
        title = f"run {number} of {len(recipes)}, {paths.checkpoint.stem}"
        if not keeping.resume:
            say(title)
        elif not paths.snapshot.exists():
            say(f"{title}: not begun")
        elif is_complete(paths, list_flags(recipe, source, compute.precision)):
            say(f"{title}: complete")
            continue
        else:
            say(f"{title}: interrupted")
        resume = keeping.resume and paths.snapshot.exists()
        yield recipe, replace(keeping, resume=resume)


def list_flags(recipe: Recipe, source: Source, precision: Precision) -> dict[str, Any]:
    """Return all that a run depends on, as its record and its history hold it."""
    return {**recipe.to_dict(), **source.to_flags(), "precision": precision.name}


def print_runs(recipes: Sequence[Recipe], keeping: Keeping, source: Source) -> None:
    """Print the accuracies of several runs, and how to measure them as one result."""
    paths = [keeping.name_files(recipe).checkpoint for recipe in recipes]
    records = [read_checkpoint(path)[1] for path in paths]
    for split in ("val", "test"):
        values = [getattr(record, f"{split}_acc") for record in records]
        say(
            f"{split} accuracy of {len(values)} runs: {statistics.mean(values):.2f} % "
            f"on average, {min(values):.2f} to {max(values):.2f} %, standard deviation "
            f"{statistics.stdev(values):.2f} points"
        )
    script = Path(sys.argv[0]).with_name("numerical_analysis.py")
    words = ["-cpp", *paths, "-d", recipes[0].dataset, *source.to_words(), "--runs"]
    say(f"to measure them as one result: {format_command(script, words)}")


def train(
    recipe: Recipe,
    source: Source | None = None,
    compute: Compute | None = None,
    *,
    keeping: Keeping | None = None,
) -> tuple[Trainer, RunFiles]:
    """Train a detector, and print how it goes.

    Args:
        recipe: what defines the run.
        source: where its dataset is, all three splits of it; default the folder
            `datasets`.
        compute: precision and workers, default as suits the machine; the batch size is
            the recipe's.
        keeping: which files are read and written; default as without flags.

    Returns:
        The trainer with its history, and the run's files with the best epoch's record.

    Raises:
        ValueError, OSError: an input is missing or cannot be used.
        FloatingPointError: a loss is not finite.
        InterruptedRunError: a signal stopped the run; its snapshot is saved.
    """
    source, keeping = source or Source(), keeping or Keeping()
    paths = keeping.name_files(recipe)
    for path in (paths.history, paths.checkpoint):
        check_writable(path.parent, path.stem)
    if recipe.tune == "head":
        check_writable(keeping.features_dir)
    else:  # the layers and logits of a head are its own
        check_before_training(recipe.model)
    if recipe.face_landmarks:
        FaceFinder()  # says now if it is not installed
    compute = replace(compute or prepare_compute(), batch_size=recipe.batch_size)
    device = distributed.start(compute.device)
    compute = replace(compute, precision=replace(compute.precision, device=device))
    log = RunLog(paths, keeping.log)
    seed_everything(recipe.seed)
    policy = Policy.of(recipe)
    datasets, skipped = open_data(recipe, source, keeping)
    datasets = take_fold(recipe, datasets)
    datasets["val"], calibration = split_calibration(recipe, datasets["val"])
    margin = datasets["train"].crop_margin
    model = prepare_model(recipe, compute, keeping, crop_margin=margin)
    start_sha256 = keep_start_weights(recipe, model, keeping)
    tuning = choose_tuning(recipe, model, datasets, compute, keeping, start_sha256)
    model = tune(model, get_network(recipe.model), tuning).to(compute.device)
    trainer = build_trainer(recipe, model, datasets, compute, keeping, start_sha256)
    trained = {**tuning.to_entries(), "backbone_sha256": start_sha256}
    if start_sha256:
        trained["whole"] = keeping.whole
    data = datasets, skipped
    files = build_run_files(recipe, source, *data, trainer, paths, policy, trained)
    files.log, trainer.measures_norm = log, log.is_on
    with files.watch(keeping.checkpoint_minutes):
        if keeping.resume:
            files.resume(trainer)
        else:
            files.start_anew()
        # On resumption they may have grown.
        files.run |= {"epochs": recipe.epochs, "flags": files.record.flags}
        print_start(recipe, trainer, datasets, skipped)
        if len(trainer.history["val_acc"]) >= recipe.epochs:
            done = len(trainer.history["val_acc"])
            say(f"epochs done: {done}; nothing to train: a larger --epochs would go on")
        trainer.run(recipe.epochs, files.at_safe_point, partial(finish_epoch, files))
        let_signals_stop()
        if distributed.is_main():
            qualify_best(files, {**datasets, "val": calibration}, policy, compute)
        distributed.maximum([0])  # until the main process has done so
    return trainer, files


def open_data(
    recipe: Recipe, source: Source, keeping: Keeping
) -> tuple[dict[str, FacesDataset], dict[str, list[str]]]:
    """Open the splits as the network wants them; return also what was left out."""
    datasets = open_splits(
        recipe.dataset,
        source,
        without_fakes=recipe.splits_without_fakes,
        preprocessing=get_network(recipe.model).preprocessing,
    )
    datasets, skipped = drop_bad_images(
        datasets, keeping.check_images, skip=keeping.skip_bad_images
    )
    if keeping.keep_pixels:
        say(keep_pixels(datasets.values(), keeping.features_dir / "pixels"))
    return datasets, skipped


def qualify_best(
    files: RunFiles, datasets: Splits, policy: Policy, compute: Compute
) -> None:
    """Measure the best epoch's detector, and write what was found to its checkpoint."""
    path = files.paths.checkpoint
    detector = load_checkpoint(path, device=compute.device)
    # Class activation maps take two seconds to import: --help does not wait.
    from explaining.shown import describe_checked, qualify_with_maps

    files.best = qualify_with_maps(detector, datasets, policy, compute)
    save_with_record(path, files.best)
    say(*describe_qualification(files.best), *describe_checked(files.best.maps))
    detector = replace(detector, record=files.best)
    say(*map(describe_part, measure_parts(detector, datasets["test"], compute)))


def prepare_model(
    recipe: Recipe, compute: Compute, keeping: Keeping, *, crop_margin: float | None
) -> nn.Module:
    """Build the network to train; a resumed one gets its weights from the snapshot.

    `crop_margin` is that of the faces on which it is trained, where it is known.
    """
    network = get_network(recipe.model)
    model = build_model(recipe.model, from_scratch=True)
    # A snapshot does not hold weights that are frozen.
    if network.load_weights is not None and (
        recipe.tune != "all" or not keeping.resume
    ):
        start = "random ones"
        if not recipe.from_scratch:
            start = network.load_weights(model, recipe.weights)
            licence = find_licence(recipe)
            start += licence and f" (licence: {licence})"
        say(f"weights to start from: {start}")
    if crop_margin is not None:
        model.preprocessing = replace(model.preprocessing, crop_margin=crop_margin)
    model.to(compute.device, memory_format=channels_last)
    if recipe.compile:
        compile_model(model, compute.device)
    return model


def find_licence(recipe: Recipe) -> str:
    """Return the licence of the weights to start from; of a user's file none."""
    is_own = recipe.weights or recipe.from_scratch
    return "" if is_own else get_network(recipe.model).licence


def keep_start_weights(recipe: Recipe, model: nn.Module, keeping: Keeping) -> str:
    """Return the hash of the weights to start from, if some of them stay frozen.

    Those that no later script could find by itself are saved beside the checkpoints.
    """
    if recipe.tune == "all":
        return ""
    network = get_network(recipe.model)
    start = select_start(model, network)
    sha256 = hash_start(start)
    is_findable = network.load_weights and not (recipe.weights or recipe.from_scratch)
    if is_findable or keeping.whole or not distributed.is_main():
        return sha256
    if path := keep_start(start, sha256, keeping.checkpoints_dir):
        say(f"wrote {path}, which every checkpoint on these weights needs")
    return sha256


def choose_tuning(
    recipe: Recipe,
    model: nn.Module,
    datasets: Splits,
    compute: Compute,
    keeping: Keeping,
    start_sha256: str,
) -> Tuning:
    """Return what is trained; the layers that a head reads may have to be compared."""
    if recipe.tune != "head":
        rank = recipe.rank if recipe.tune == "lora" else 0
        return Tuning(recipe.tune, rank=rank)
    tuning = Tuning("head", recipe.features or ("auto",), recipe.hidden)
    if tuning.features != ("auto",):
        return tuning
    if keeping.resume:
        chosen = load_snapshot(keeping.name_files(recipe).snapshot).get("features")
        return replace(tuning, features=tuple(map(str, chosen or ())))
    stages = tuple(list_stages(model, model.preprocessing.size))
    tuning = replace(tuning, features=stages)
    probe = tune(model, get_network(recipe.model), tuning).to(compute.device)
    some = choose_random(datasets["train"], MOST_COMPARED // 2, recipe.seed)
    others = set(range(len(datasets["train"]))).difference(*some)
    fewer = {**datasets, "train": datasets["train"].drop(sorted(others))}
    say(f"comparing {len(stages)} layers on {len(fewer['train'])} training images")
    trainer = build_trainer(recipe, probe, fewer, compute, keeping, start_sha256)
    found = trainer.compare_layers()
    for layer, (loss, auc) in found.items():
        say(f"  {layer}: validation log loss {loss:.4f}, AUC {auc:.4f}")
    best = min(found, key=lambda layer: found[layer][0])
    say(f"the head reads {best}, which has the least log loss")
    return replace(tuning, features=(best,))


def build_trainer(
    recipe: Recipe,
    model: nn.Module,
    datasets: Splits,
    compute: Compute,
    keeping: Keeping | None = None,
    start_sha256: str = "",
) -> Trainer:
    """Put together what trains; the hash is that of a probe's frozen weights."""
    weights = compute_weights(datasets["train"], recipe.mix)
    labels = datasets["train"].get_labels()
    criterion = build_criterion(recipe.class_weights, labels).to(compute.device)
    if isinstance(model, Probe):
        return HeadTrainer(
            model,
            build_loaders(recipe, model, datasets, compute),
            folder=(keeping or Keeping()).features_dir,
            start={"model": recipe.model, "backbone": start_sha256},
            criterion=criterion,
            precision=compute.precision,
            seed=recipe.seed,
            weights=weights,
        )
    loaders = build_loaders(recipe, model, datasets, compute, weights=weights)
    steps_an_epoch = len(loaders["train"])
    optimizer = build_optimizer(
        recipe.optimizer,
        model,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        layer_decay=recipe.layer_decay,
    )
    scheduler = build_scheduler(
        optimizer,
        recipe.lr_schedule,
        num_steps=recipe.epochs * steps_an_epoch,
        num_warmup_steps=recipe.count_warmup_steps(steps_an_epoch),
    )
    return Trainer(
        model,
        optimizer,
        loaders,
        criterion=criterion,
        precision=compute.precision,
        scheduler=scheduler,
        grad_clip=recipe.grad_clip,
        bn_batches=recipe.count_bn_batches(steps_an_epoch),
    )


def build_loaders(
    recipe: Recipe,
    model: nn.Module,
    datasets: Splits,
    compute: Compute,
    *,
    weights: np.ndarray | None = None,
) -> dict[str, BatchLoader]:
    """Build the batches of every split, on the network's device.

    `weights` say how often training images are seen. The validation split gets
    self-blended fakes like the training split, because the best epoch and the threshold
    are chosen on it.
    """
    found = recipe.face_landmarks
    augmentations = {
        "train": Augmentation(recipe.augment, recipe.self_blend, recipe.cutmix, found),
        "val": augment_validation(recipe),
    }
    return {
        split: BatchLoader(
            dataset,
            compute.batch_size,
            model.preprocessing,
            device=compute.device,
            seed=recipe.seed,
            training=split == "train",
            augmentation=augmentations.get(split),
            workers=compute.workers,
            weights=weights if split == "train" else None,
        )
        for split, dataset in datasets.items()
    }


def build_run_files(
    recipe: Recipe,
    source: Source,
    datasets: Splits,
    skipped: Mapping[str, list[str]],
    trainer: Trainer,
    paths: RunPaths,
    policy: Policy,
    trained: Mapping[str, Any],
) -> RunFiles:
    """Put together what writes the run's history, checkpoints and snapshots.

    `trained` are the entries of the checkpoint's record on what is trained.
    """
    flags = list_flags(recipe, source, trainer.precision)
    whole = ("test",) if recipe.calibration_share else ("val", "test")
    record = start_record(
        model_name=recipe.model,
        dataset=recipe.dataset,
        num_images={split: len(datasets[split]) for split in whole},
        preprocessing=trainer.model.preprocessing.to_dict(),
        flags=flags,
        data_fingerprint=compute_fingerprint(datasets),
        licence=find_licence(recipe),
        **trained,
    )
    run = {
        **build_run_entry(recipe, flags, trainer),
        "data": {split: count_classes(data) for split, data in datasets.items()},
        "data_origin": dict(getattr(datasets["train"].pictures, "origin", {})),
        "skipped_images": dict(skipped),
        "kernels": describe_kernels(trainer.model, trainer.precision),
        "started": format_now(),
        "versions": record.versions,
    }
    left_out = () if record.whole else list_frozen(trainer.model)
    return RunFiles(paths, run, record, policy.calibrate, say, left_out)


def build_run_entry(
    recipe: Recipe, flags: Mapping[str, Any], trainer: Trainer
) -> dict[str, Any]:
    """Return what the history says of how a run trains."""
    params = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "LBFGS":
        params = {}
    if recipe.optimizer == "SGD":
        params["momentum"] = recipe.momentum
    return {
        "model": recipe.model,
        "dataset": recipe.dataset,
        "optimizer": {"name": recipe.optimizer, "params": params},
        "flags": flags,
        "warmup_steps": recipe.count_warmup_steps(len(trainer.loaders["train"])),
        "bn_batches": trainer.bn_batches,
    }


def print_start(
    recipe: Recipe, trainer: Trainer, datasets: Splits, skipped: Mapping[str, list[str]]
) -> None:
    """Print what is going to be trained, on what, where."""
    for split, names in skipped.items():
        say(f"left out of {split}, unreadable: {', '.join(names[:10])}")
    say(*(describe_split(split, dataset) for split, dataset in datasets.items()))
    for leak in find_shared_files(datasets):
        say(
            f"LEAK: {len(leak.groups)} files are in both {leak.split_a} and "
            f"{leak.split_b} of the joined datasets, such as {leak.groups[0]}"
        )
    if recipe.self_blend:
        percent = f"{100 * recipe.self_blend:g} %"
        say(f"in train and val about {percent} of the fakes are self-blended images")
    num_parameters = get_nof_parameters(trainer.model)
    say(f"model: {recipe.model}, {num_parameters:,} trainable parameters")
    num_processes = distributed.get_world_size()
    shared = f", {num_processes} processes" if num_processes > 1 else ""
    say(f"device: {trainer.device}{shared}, precision: {trainer.precision.name}")
    if used := describe_kernels(trainer.model, trainer.precision):
        say(f"compiled kernels: {used}")
    steps = recipe.count_warmup_steps(len(trainer.loaders["train"]))
    if steps and not trainer.epoch:
        when = f"in the first {steps} steps" if steps > 1 else "after the first step"
        say(f"the learning rate grows to {recipe.lr:g} {when}")


def finish_epoch(files: RunFiles, trainer: Trainer) -> None:
    """Save an epoch; after the first, say what cures a model that answers one class."""
    files.after_epoch(trainer)
    answer = describe_one_class(files.best.val_fake_share)
    if trainer.epoch == 1 < files.run["epochs"] and answer:
        say(f"{answer}; if more epochs do not change this, try {ONE_CLASS_CURES}")
    elif (
        not trainer.is_best()
        and trainer.history["val_acc"][-1] > files.best.val_acc
        and len(trainer.val_logits.argmax(dim=1).unique()) == 1
    ):
        say("it gives one answer to all validation images, so it is not the best")


def print_end(trainer: Trainer, files: RunFiles, source: Source) -> None:
    """Print the best epoch's results and where the files are, earlier ones too."""
    best, paths, kept = files.best, files.paths, files.kept
    say(
        f"best on validation: epoch {best.epoch} of {trainer.epoch}, accuracy "
        f"{best.val_acc:.2f} %; test accuracy then {best.test_acc:.2f} %"
    )
    if answer := describe_one_class(best.val_fake_share):
        say(f"{answer}: it has not learnt to tell the classes apart")
    if best.threshold is not None:
        say(
            f"threshold {best.threshold:.4g} ({best.threshold_policy}), "
            f"temperature {best.temperature:.3f}, bias {best.logit_bias:.3f}",
            "these accuracies use the larger logit; other scripts use the threshold, "
            "so theirs differ",
        )
    if best.log_losses:
        before, after = best.log_losses
        say(f"validation log loss {before:.4f} before, {after:.4f} after calibration")
    say(*(f"note: {note}" for note in best.calibration_notes))
    logs = [path for path in paths.logs if path.exists()]
    written = (paths.history, paths.checkpoint, paths.snapshot, *logs)
    say(*(f"wrote {path}" for path in written))
    say(*(f"kept from an earlier run: {path}" for path in kept.values()))
    if earlier := kept.get(paths.checkpoint):
        script = Path(sys.argv[0]).with_name("numerical_analysis.py")
        words = ["-cpp", earlier, paths.checkpoint, "-d", best.dataset]
        words += ["--data-root", source.data_root]
        say(
            "with a --name of its own a run keeps its files apart; to compare both: "
            f"{format_command(script, words)}"
        )


def save_reports(
    recipes: Sequence[Recipe],
    keeping: Keeping,
    source: Source,
    *,
    compute: Compute,
    words: Sequence[str] | None,
) -> int:
    """Write the finished runs' reports; if one fails, say so and return 1, else 0."""
    is_main, status = distributed.is_main(), 0
    distributed.stop()  # one process reads all of the test split
    if not is_main:
        return 0
    # Its figures and maps take seconds to import: a run without a report does not wait.
    from reporting import Settings, name_report, write_report

    shared = {"source": replace(source, split="test"), "compute": compute}
    for recipe in recipes:
        paths = keeping.name_files(recipe)
        checkpoints = [paths.checkpoint]
        settings = Settings(history_path=paths.history, seed=recipe.seed, **shared)
        try:
            output = name_report(checkpoints)
            call = (Path(__file__).name, words)
            write_report(checkpoints, output, settings, call=call)
        except Exception as error:  # whatever it is, the training was not in vain
            flags = ["-cpp", *checkpoints, "--data-root", source.data_root]
            say(
                "the run is complete, but there is no report: "
                f"{command_line.describe_error(error)}; to try again: "
                f"{format_command('report.py', flags)}",
                file=sys.stderr,
            )
            status = 1
        else:
            say(f"wrote {output}")
    return status


if __name__ == "__main__":
    command_line.run(main, distributed.speaks_first)
