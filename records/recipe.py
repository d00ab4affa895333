"""What a training is: its flags in one table, named recipes, its command, its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from files.bounds import (
    CONDITIONS,
    COUNT_OR_NONE,
    DATASET_NAME,
    FOLD,
    FOLDS,
    HIDDEN_UNITS,
    INNER_SHARE,
    LAYER_NAME,
    PROPER_SHARE,
    RANKS,
    RUN_NAME,
    SEED,
    SHARE,
    TUNINGS,
    Bounds,
    Words,
)
from files.names import (
    CHECKPOINTS_DIR,
    LOG_KINDS,
    OPTIMIZER_NAMES,
    OUT_DIR,
    RunPaths,
    name_run_files,
)
from files.provenance import format_command

MOST_WARMUP_STEPS = 100
# Batch norm's running averages lag in an epoch with fewer steps.
FEW_STEPS, BN_BATCHES = 100, 12
RATE = Bounds(0, 1000, above=True)
GROUPS = {
    "recipe": "recipe",
    "tune": "few trained weights",
    "more": "beyond the published recipe",
}
# Fields that say how steps are taken; a head is fitted to convergence without them.
OF_STEPS = (
    *("lr", "momentum", "lr_schedule", "warmup", "weight_decay", "recalibrate_bn"),
    *("cutmix", "grad_clip", "compile"),
)
# Fields that say how a finished detector's operating point is chosen.
OF_CALIBRATION = ("max_fpr", "fpr_confidence", "max_fnr", "calibrate_under")
# Fields in which runs of one recipe may differ.
OF_A_RUN = ("name", "seed", "fold")
# How a training's images were read, unless its flags say otherwise.
READING: dict[str, Any] = {"limit": None, "real_labels": [], "shares": None}
# Fields that need a value of `tune`.
OF_TUNING = {"features": "head", "hidden": "head", "rank": "lora", "layer_decay": "all"}


@dataclass(frozen=True)
class Flag:
    """How a field of `Recipe` or `Keeping` is given on a command line.

    Attributes:
        help: what it does.
        allowed: numbers or words, some to choose from, or a type; bool is a switch.
        metavar: what stands for its value in the help.
        short: other names, such as -lr.
        group: its heading in the help, a key of `GROUPS`; '' for the general ones.
        default_words: the default in words, where it is computed.
        bare: the value of a flag that is given without one; None: it needs one.
        several: it takes several values, which are kept as a tuple.
    """

    help: str
    allowed: Bounds | Words | tuple[str, ...] | type
    metavar: str | None = None
    short: tuple[str, ...] = ()
    group: str = "more"
    default_words: str = ""
    bare: float | None = None
    several: bool = False

    def fits(self, value: object) -> bool:
        """Say whether a value of the field, other than None, may be given."""
        allowed = self.allowed
        if self.several:
            return type(value) is tuple and value and all(v in allowed for v in value)
        if isinstance(allowed, type):
            return isinstance(value, allowed)
        return value in allowed

    def describe_allowed(self) -> str:
        """Return what may be given, in words."""
        if isinstance(self.allowed, type):
            return f"a {self.allowed.__name__}"
        is_choice = isinstance(self.allowed, tuple)
        return " or ".join(self.allowed) if is_choice else str(self.allowed)


def _flag(default: Any, help: str, allowed: Any, *args: Any, **options: Any) -> Any:
    flag = Flag(help, allowed, *args, **options)
    return field(default=default, metadata={"flag": flag})


@dataclass(frozen=True)
class Recipe:
    """What defines a run, with the images and the precision.

    A field is a flag of train_main.py of the same name; None leaves the choice to the
    training. The record of a checkpoint and of a history holds all of them.

    Raises:
        ValueError: a value is not allowed, or flags exclude or need each other.
    """

    dataset: str = _flag(
        "fakes_dataset",
        "folder or table (.csv, .parquet) under --data-root: fakes_dataset, "
        "synthetic_dataset or your own; hf:OWNER/NAME of the Hugging Face hub; several "
        "are trained on together",
        DATASET_NAME,
        "NAME",
        ("-d",),
        group="",
    )
    name: str | None = _flag(
        None,
        "a word at the end of the files' names, to keep several runs apart: "
        "DATASET_MODEL_OPTIMIZER_WORD.pt, ...",
        RUN_NAME,
        "WORD",
        group="",
    )
    model: str = _flag(
        "SimpleNet", "the detector's network", str, None, ("-m",), group=""
    )
    seed: int = _flag(0, "seed of all randomness", SEED, "N", group="")
    batch_size: int = _flag(
        32, "images in a batch", Bounds(1, 65536, int), "N", ("-b",), group=""
    )
    mix: str = _flag(
        "size",
        "with several datasets: see every image equally often (size), or every "
        "dataset (equal)",
        ("size", "equal"),
        group="",
    )
    lr: float = _flag(0.001, "learning rate", RATE, "RATE", ("-lr",), group="recipe")
    epochs: int = _flag(
        5,
        "passes over the training split, those before --resume included",
        Bounds(1, 100_000, int),
        "N",
        ("-e",),
        group="recipe",
    )
    optimizer: str = _flag(
        None,
        "optimizer; LBFGS is what fits a head, with --tune head",
        OPTIMIZER_NAMES,
        None,
        ("-o",),
        default_words="Adam; LBFGS with --tune head",
        group="recipe",
    )
    momentum: float = _flag(
        0.0, "momentum of SGD; Adam has its own", PROPER_SHARE, "M", group="recipe"
    )
    weights: Path | None = _flag(
        None,
        "weights to start from",
        Path,
        "FILE",
        default_words="the network's own, from the cache or downloaded",
        group="recipe",
    )
    from_scratch: bool = _flag(False, "start from random weights", bool, group="recipe")
    tune: str = _flag(
        "all",
        "what is trained: all weights; head: a new one on features of the frozen "
        "network, which are computed once and kept; norms: the normalisation layers "
        "and the head; lora: low-rank changes of linear layers, and the head",
        TUNINGS,
        group="tune",
    )
    features: tuple[str, ...] | None = _flag(
        None,
        "with --tune head: the layers of the network that the head reads, such as "
        "block8; auto compares them on validation",
        LAYER_NAME,
        "LAYER",
        group="tune",
        default_words="auto",
        several=True,
    )
    hidden: int = _flag(
        0,
        "with --tune head: units of a hidden layer; 0: the head is linear",
        HIDDEN_UNITS,
        "UNITS",
        group="tune",
    )
    rank: int = _flag(
        8, "with --tune lora: rank of the changes", RANKS, "R", group="tune"
    )
    layer_decay: float = _flag(
        1.0,
        "with --tune all: each block of the network learns at this share of the rate "
        "of the block above it",
        Bounds(0, 1, above=True),
        "SHARE",
        group="tune",
    )
    lr_schedule: str = _flag(
        "constant",
        "how the learning rate changes over the training",
        ("constant", "cosine"),
    )
    warmup: int | None = _flag(
        None,
        "optimizer steps over which the learning rate grows to --lr; 0 starts at --lr, "
        "as published",
        COUNT_OR_NONE,
        "STEPS",
        default_words=f"the steps of an epoch, at most {MOST_WARMUP_STEPS}",
    )
    weight_decay: float = _flag(0.0, "L2 penalty on the weights", Bounds(0, 1000), "W")
    recalibrate_bn: int | None = _flag(
        None,
        "after each epoch measure the batch-norm statistics again, on this many "
        "training batches; 0 keeps the running averages",
        COUNT_OR_NONE,
        "BATCHES",
        default_words=f"{BN_BATCHES} if an epoch has fewer than {FEW_STEPS} steps, "
        "else 0",
    )
    class_weights: str = _flag(
        "none",
        "balanced: real and fake images weigh the same in the loss, a weighted mean "
        "over the batch, and in the accuracy that chooses the best epoch",
        ("none", "balanced"),
    )
    augment: str = _flag(
        "published",
        "how training images are changed: published crops and mirrors; robust also "
        "compresses, scales, blurs, colours and adds noise; photographs does what "
        "happens to a photograph on its way (smaller faces, chat programs, "
        "screenshots, other framing); none leaves them alone",
        ("published", "robust", "photographs", "none"),
    )
    self_blend: float = _flag(
        0.0,
        "for kinds of forgery not in the data: make this share of the fakes in train "
        "and val from real images, each blended with a changed copy of itself; without "
        "a number all of them, so that train/fake and val/fake are not needed",
        SHARE,
        "SHARE",
        bare=1.0,
    )
    face_landmarks: bool = _flag(
        False,
        "with --self-blend: find each face's landmarks, for images whose faces are "
        "not in the middle (needs requirements-faces.txt)",
        bool,
    )
    cutmix: float = _flag(
        0.0,
        "in this share of the batches, paste a part of another image into each image "
        "and mix the labels likewise; keeps a large network from memorising a small "
        "set",
        SHARE,
        "SHARE",
    )
    grad_clip: float | None = _flag(
        None,
        "scale gradients down to this norm if theirs is larger",
        Bounds(0, 1e30, above=True),
        "NORM",
    )
    compile: bool = _flag(
        False,
        "compile the network with torch.compile; for XceptionBased on a GPU: on a CPU "
        "the suite's own kernels, which it replaces, are faster",
        bool,
    )
    max_fpr: float | None = _flag(
        None,
        "choose the checkpoint's threshold so that at most this share of the real "
        "validation images is called fake; on other real images it is exceeded about "
        "half the time (default: where both errors are equally frequent)",
        PROPER_SHARE,
        "RATE",
    )
    fpr_confidence: float | None = _flag(
        None,
        "with --max-fpr: keep to it with this confidence on all real images, not only "
        "on those in validation",
        INNER_SHARE,
        "C",
    )
    max_fnr: float | None = _flag(
        None,
        "call an image real only where at most this share of the fake validation "
        "images would be, and what lies between inconclusive (default: all that is not "
        "called fake is called real)",
        PROPER_SHARE,
        "RATE",
    )
    calibrate_under: tuple[str, ...] | None = _flag(
        None,
        "choose threshold, calibration and ratios on validation images that have been "
        "through this, each image under every condition, but counted once: photographs "
        "(what happens to pictures on their way), or disturbances, all levels of one "
        "or single ones, such as jpeg face=96; conditions in which more than twice the "
        "promised share of real images would be called fake get bounds of their own, "
        "or no verdict, if these would leave too few images with one",
        CONDITIONS,
        "CONDITION",
        default_words="as the images are",
        several=True,
    )
    calibration_share: float = _flag(
        0.0,
        "keep this share of the validation images out of the choice of the best epoch, "
        "and choose threshold, calibration and ratios on them alone",
        PROPER_SHARE,
        "SHARE",
    )
    fold: str | None = _flag(
        None,
        "cross-validation over train and val: K/N deals the images of both into N "
        "parts, of which number K, from 0, is the validation split and the others "
        "train; the parts are the same for every seed",
        FOLD,
        "K/N",
    )
    group_by: str | None = _flag(
        None,
        "with --calibration-share, --fold or --folds: keep images of one group "
        "together; prefix (what comes before the first _ of a name) or a regular "
        "expression",
        str,
        "PATTERN",
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, flag = getattr(self, entry.name), entry.metadata["flag"]
            is_left_open = value is None and entry.default is None
            if not is_left_open and not flag.fits(value):
                raise ValueError(
                    f"{spell(entry.name)} must be {flag.describe_allowed()}, "
                    f"got {value!r:.60}"
                )
        if self.optimizer is None:
            chosen = "LBFGS" if self.tune == "head" else "Adam"
            object.__setattr__(self, "optimizer", chosen)
        self._check_tuning()
        if self.fpr_confidence is not None and not self.max_fpr:
            raise ValueError("--fpr-confidence goes with --max-fpr above 0")
        if self.face_landmarks and not self.self_blend:
            raise ValueError("--face-landmarks goes with --self-blend")
        if self.fold is not None and not self.fold_of[0] < self.fold_of[1] in FOLDS:
            raise ValueError(f"--fold must be {FOLD}, got {self.fold!r}")
        if self.group_by is not None and not (self.calibration_share or self.fold):
            raise ValueError("--group-by goes with --calibration-share or --fold")
        named = self.calibrate_under or ()
        if len(set(named)) < len(named):
            raise ValueError("--calibrate-under takes each condition once")
        if self.mix != "size" and "+" not in self.dataset:
            raise ValueError("--mix goes with several datasets")
        if self.weights and self.from_scratch:
            raise ValueError("--weights and --from-scratch exclude each other")

    def _check_tuning(self) -> None:
        """Raise ValueError if flags have no effect with what is trained."""
        if (self.optimizer == "LBFGS") != (self.tune == "head"):
            raise ValueError("--tune head and -o LBFGS go together")
        layers = self.features or ()
        if len(set(layers)) < len(layers) or ("auto" in layers and len(layers) > 1):
            raise ValueError(
                "--features takes auto alone, or layers, each once: got "
                f"{' '.join(layers)!r:.60}"
            )
        changed = {e.name for e in fields(self) if getattr(self, e.name) != e.default}
        for name, how in OF_TUNING.items():
            if name in changed and self.tune != how:
                raise ValueError(f"{spell(name)} goes with --tune {how}")
        if self.tune == "head" and (given := changed.intersection(OF_STEPS)):
            raise ValueError(
                f"{spell(min(given))} does not go with --tune head: the head is "
                "fitted to convergence, an epoch being one more view of each image"
            )

    @property
    def splits_without_fakes(self) -> tuple[str, ...]:
        """Splits whose fakes are all made of real images; their own are not read."""
        return ("train", "val") if self.self_blend == 1 else ()

    @property
    def fold_of(self) -> tuple[int, int] | None:
        """The number of the fold, from 0, and of how many it is one."""
        return self.fold and tuple(map(int, self.fold.split("/")))

    def count_warmup_steps(self, steps_an_epoch: int) -> int:
        """Return in how many steps the learning rate grows to `lr`.

        Full steps from the start often leave SimpleNet's last convolution dead on
        small sets, in a plain loop as well (docs/results.md). Growing ones over an
        epoch, at most 100, keep it alive and cost a large set hardly anything.
        """
        if self.tune == "head":
            return 0
        if self.warmup is None:
            return min(MOST_WARMUP_STEPS, steps_an_epoch)
        return self.warmup

    def count_bn_batches(self, steps_an_epoch: int) -> int:
        """Return on how many batches batch norm's statistics are measured again."""
        if self.tune == "head":
            return 0
        if self.recalibrate_bn is None:
            return BN_BATCHES if steps_an_epoch < FEW_STEPS else 0
        return self.recalibrate_bn

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values; of a weights file the name alone."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        several = {n: list(v) for n, v in values.items() if isinstance(v, tuple)}
        weights = self.weights and self.weights.name
        return {**values, **several, "weights": weights}

    @classmethod
    def from_untrusted(cls, flags: Mapping[str, Any]) -> "Recipe":
        """Take a recipe out of a record; what it does not know is ignored.

        Raises:
            ValueError: a value is one that the command line refuses.
        """
        known = {e.name: flags[e.name] for e in fields(cls) if e.name in flags}
        if isinstance(known.get("weights"), str):
            known["weights"] = Path(known["weights"])
        several = {n: tuple(v) for n, v in known.items() if isinstance(v, list)}
        return cls(**{**known, **several})

    def format_command(self, *more: object) -> str:
        """Return the command line that repeats the training; `more` words follow."""
        words: list[object] = []
        for entry in fields(self):
            value, flag = getattr(self, entry.name), entry.metadata["flag"]
            if value == entry.default and not (flag.short or entry.name == "seed"):
                continue
            word = flag.short[0] if flag.short else spell(entry.name)
            if flag.allowed is bool:
                words.append(word)
            elif flag.several:
                words += [word, *value]
            elif str(value).startswith("-"):  # argparse would take it for a flag
                words.append(f"{word}={value}")
            else:
                words += [word, value]
        return format_command("train_main.py", [*words, *more])


def describe_shared(flags: Mapping[str, Any]) -> str:
    """Return what makes a recipe, out of a training's flags: equal for its runs."""
    known = {**READING, **flags}
    return repr(sorted(repr(e) for e in known.items() if e[0] not in OF_A_RUN))


def list_runs(
    recipe: Recipe, seeds: Sequence[int] = (), num_folds: int | None = None
) -> list[Recipe]:
    """Return the runs of one recipe: with each seed, or its own, on each fold.

    The folds of a seed come after each other. What runs differ in is added to their
    names, such as NAME_fold0_seed1. Raises ValueError if a name becomes too long.
    """
    runs = []
    for seed in seeds or [recipe.seed]:
        for number in range(num_folds or 1):
            words = [recipe.name] if recipe.name else []
            words += [f"fold{number}"] if num_folds else []
            words += [f"seed{seed}"] if seeds else []
            fold = f"{number}/{num_folds}" if num_folds else recipe.fold
            name = "_".join(words) or None
            runs.append(replace(recipe, name=name, seed=seed, fold=fold))
    return runs


def spell(name: str) -> str:
    """Return the long flag of a field of this name."""
    return f"--{name.replace('_', '-')}"


_ON_FEW_IMAGES = {"model": "XceptionBased", "lr_schedule": "cosine", "warmup": 20}

# What --recipe puts in place of the flags' defaults.
RECIPES: dict[str, dict[str, Any]] = {
    "published": {},
    "small-set": {**_ON_FEW_IMAGES, "lr": 5e-4, "epochs": 50, "cutmix": 0.5},
    "general": {
        **_ON_FEW_IMAGES,
        "lr": 2e-4,
        "epochs": 20,
        "augment": "robust",
        "self_blend": 0.5,
    },
    "probe": {
        "model": "XceptionBased",
        "tune": "head",
        "features": ("block4",),
        "epochs": 3,
        "augment": "robust",
        "self_blend": 0.5,
    },
    "photographs": {
        "model": "XceptionBased",
        "tune": "head",
        "features": ("block3", "block5", "block8"),
        "epochs": 4,
        "augment": "photographs",
        "calibrate_under": ("photographs",),
        "max_fpr": 0.05,
    },
    "foundation": {
        "model": "timm:vit_large_patch14_clip_224.openai",
        "tune": "norms",
        "lr": 3e-4,
        "lr_schedule": "cosine",
        "epochs": 10,
        "augment": "robust",
        "self_blend": 0.5,
    },
}


@dataclass(frozen=True)
class Keeping:
    """How a run's images are checked and its files kept; each field is a flag."""

    out_dir: Path = _flag(OUT_DIR, "folder of the histories", Path, "DIR")
    checkpoints_dir: Path = _flag(
        CHECKPOINTS_DIR, "folder of the checkpoints", Path, "DIR"
    )
    check_images: str = _flag(
        "auto",
        "check every image before training: its header, or all of it; auto checks the "
        "headers of up to 100,000 images",
        ("auto", "none", "header", "full"),
    )
    skip_bad_images: bool = _flag(
        False, "leave unreadable images out and record them instead of stopping", bool
    )
    resume: bool = _flag(
        False, "go on from the last snapshot of the same command", bool
    )
    checkpoint_minutes: float = _flag(
        10.0,
        "minutes between snapshots within an epoch; 0 saves only at its end",
        Bounds(0, 1e6),
        "M",
    )
    features_dir: Path = _flag(
        Path("features"),
        "folder of the features that --tune head keeps, and of kept pixels",
        Path,
        "DIR",
    )
    keep_pixels: bool = _flag(
        False,
        "write each decoded and resized image into FEATURES_DIR/pixels (197 kB at 256 "
        "pixels, if all fit into 10 GB and half of the free disk), where later epochs "
        "and runs find it; pays where reading takes long: SimpleNet, large photographs",
        bool,
    )
    whole: bool = _flag(
        False,
        "with --tune other than all: checkpoints hold the frozen weights, too, not "
        "only their hash",
        bool,
    )
    log: tuple[str, ...] = _flag(
        (),
        "note each step and epoch as it is done, in files beside the history: csv "
        "(RUN_steps.csv, RUN_epochs.csv); tensorboard (RUN_tensorboard, which "
        "`tensorboard --logdir out` draws; needs requirements-log.txt); with --tune "
        "head there are epochs only, and no learning rate; repeat it with --resume",
        LOG_KINDS,
        several=True,
    )

    def name_files(self, recipe: Recipe) -> RunPaths:
        """Return where the files of such a run are."""
        return name_run_files(
            *(recipe.dataset, recipe.model, recipe.optimizer),
            name=recipe.name,
            out_dir=self.out_dir,
            checkpoints_dir=self.checkpoints_dir,
        )


def choose_defaults(name: str, tune: str | None) -> dict[str, Any]:
    """Return what a named recipe puts in place of the defaults.

    If the user wants something else to be tuned than the recipe, what then has no
    effect is left out.
    """
    named = RECIPES[name]
    if tune in (None, named.get("tune", "all")):
        return named
    others = {field for field, how in OF_TUNING.items() if how != tune}
    others |= set(OF_STEPS) if tune == "head" else set()
    return {field: value for field, value in named.items() if field not in others}
