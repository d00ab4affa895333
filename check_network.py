"""Check a network: does it do all that the scripts need?"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import command_line
from command_line.compute import take_network

import torch
from torch import Tensor, nn

from explaining.cams import compute_grad_cam_maps
from explaining.gradients import compute_attribution_maps
from files.classes import FAKE, REAL
from files.tensors import load_model_state, load_tensors, save_tensors
from hardware import Precision, choose_precision
from judging.detector import Detector
from loading import Preprocessing
from models import NETWORKS, Network, get_network
from records.checkpoint import start_record
from records.checkpoint_files import read_checkpoint, save_checkpoint
from trainer import Trainer
from tuning import FaultError, build_network, check_gives_logits
from tuning.optimizers import build_optimizer
from utils import get_nof_parameters

NUM_IMAGES = 4  # half of each class
TOLERANCE = 1e-4  # of logits, relative to the largest or, if that is below 1, to 1
MOST_NAMED = 5

EPILOG = """examples:
  python check_network.py
  python check_network.py -m XceptionBased
  python check_network.py -m timm:test_vit

prints a line for each check: ok, or what is wrong. It needs no dataset and no weights:
the images are random pixels, and so are the weights. A network that passes works with
every script; how to add one: docs/networks.md.

The exit status is 1 when a check failed."""


@dataclass(frozen=True)
class CheckResult:
    """What a check found: what is wrong, '' if nothing is, and what was measured."""

    check: str
    fault: str = ""
    note: str = ""

    def __str__(self) -> str:
        words = f"wrong: {self.fault}" if self.fault else f"ok: {self.note}"
        return f"{self.check}: {words}"


class Trial:
    """A network under test, with random images of its size."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network, self.seed = network, seed
        size = network.preprocessing.size
        generator = torch.Generator().manual_seed(seed)
        # Of different colours, so that what mixes images shows.
        shape = (NUM_IMAGES, 3, size, size)
        noise = torch.randint(0, 128, shape, generator=generator)
        colours = torch.randint(0, 128, (NUM_IMAGES, 3, 1, 1), generator=generator)
        self.samples = (noise + colours).byte()
        self.labels = torch.arange(NUM_IMAGES) % 2

    def build(self) -> nn.Module:
        """Build it as a training does."""
        return build_network(self.network).to(memory_format=torch.channels_last)

    @cached_property
    def model(self) -> nn.Module:
        """The one that the checks train, save and explain."""
        torch.manual_seed(self.seed)
        return self.build()

    @property
    def images(self) -> Tensor:
        """The images as the network expects them."""
        images = self.network.preprocessing.normalise(self.samples)
        return images.contiguous(memory_format=torch.channels_last)

    @cached_property
    def trainer(self) -> Trainer:
        """Of the model, before its first step."""
        return self.build_trainer(self.model)

    def build_trainer(self, model: nn.Module) -> Trainer:
        """Return a trainer whose epoch is a single step."""
        optimizer = build_optimizer("Adam", model, lr=1e-3)
        return Trainer(model, optimizer, {"train": [(self.images, self.labels)]})

    def score(self, samples: Tensor, model: nn.Module | None = None) -> Tensor:
        """Return the logits (n, 2) of samples uint8 (n, 3, S, S), as scripts do."""
        detector = Detector(model or self.model, self.network.preprocessing)
        pixels = samples.permute(0, 2, 3, 1).numpy()
        return torch.from_numpy(
            detector.score_samples(pixels, Precision("fp32")).logits
        )


def check_network(
    network: str | Network | Callable[[], nn.Module], *, seed: int = 0
) -> list[CheckResult]:
    """Check that a network does all that the scripts need, on random pixels.

    Args:
        network: a name as -m takes it, the function that `models.register` decorates,
            or a `Network`.

    Returns:
        What each of `CHECKS` found, until one whose failure leaves nothing to check.

    Raises:
        ValueError: there is no such network.
    """
    trial = Trial(find_network(network), seed)
    return list(run_checks(trial))


def find_network(network: str | Network | Callable[[], nn.Module]) -> Network:
    """Return what `check_network` takes as a `Network`, or raise ValueError."""
    if isinstance(network, Network):
        return network
    if isinstance(network, str):
        return get_network(network)
    for registered in NETWORKS.values():
        if registered.build is network:
            return registered
    raise ValueError(
        f"{network!r:.60} is not registered: decorate it with models.register"
    )


def run_checks(trial: Trial) -> Iterator[CheckResult]:
    """Yield what each of `CHECKS` finds."""
    with torch.random.fork_rng():
        for name, check in CHECKS.items():
            try:
                yield CheckResult(name, note=check(trial))
            except Exception as error:  # whatever the user's code raises
                fault = command_line.describe_error(error)[:400]
                if not isinstance(error, FaultError):
                    fault = f"{type(error).__name__}: {fault}"
                yield CheckResult(name, fault)
                if name in NEEDED:
                    return


def check_building(trial: Trial) -> str:
    """Build it, and look for the layers that its entry names."""
    if not get_nof_parameters(trial.model):
        raise FaultError("no parameter can be trained (requires_grad)")
    return f"{get_nof_parameters(trial.model):,} trainable parameters"


def check_logits(trial: Trial) -> str:
    """Look at the logits in float32, and in the precision of this machine."""
    used = {"fp32": Precision("fp32")}
    auto = choose_precision("auto", torch.device("cpu"))
    used[auto.name] = auto
    for name, precision in used.items():
        with torch.no_grad(), precision.autocast():
            logits = trial.model.eval()(trial.images)
        check_gives_logits(logits, NUM_IMAGES, name)
    size = trial.network.preprocessing.size
    return f"(N, 2) of images of {size} pixels, in {' and '.join(used)}"


def check_training(trial: Trial) -> str:
    """Take a step; every parameter that can be trained must have a gradient."""
    trial.trainer.train_one_epoch()
    named = trial.model.named_parameters()
    trainable = {n: p.grad for n, p in named if p.requires_grad}
    idle = [name for name, gradient in trainable.items() if gradient is None]
    if idle:
        raise FaultError(
            f"no gradient reaches {name_some(idle)}: forward does not use them, or "
            "cuts them off; if that is meant: requires_grad_(False)"
        )
    broken = [n for n, gradient in trainable.items() if not gradient.isfinite().all()]
    if broken:
        raise FaultError(f"the gradient of {name_some(broken)} is not finite")
    loss = trial.trainer.totals.loss / NUM_IMAGES
    return f"loss {loss:.3f}, {len(trainable)} tensors with a gradient"


def check_independence(trial: Trial) -> str:
    """Compare each image's logits alone and in a batch."""
    together = trial.score(trial.samples)
    alone = torch.cat([trial.score(sample[None]) for sample in trial.samples])
    error = (together - alone).abs().max().item()
    scale = max(1.0, together.abs().max().item())
    if not error <= TOLERANCE * scale:
        raise FaultError(
            f"a logit changes by {error:.2g} with the other images of its batch "
            f"(allowed: {TOLERANCE * scale:.2g}): in evaluation mode nothing may mix "
            "images"
        )
    return f"within {error:.1g} (allowed: {TOLERANCE * scale:.1g})"


def check_repetition(trial: Trial) -> str:
    """Score twice: in evaluation mode nothing may be drawn at random."""
    first, second = trial.score(trial.samples), trial.score(trial.samples)
    if not torch.equal(first, second):
        raise FaultError(
            f"scores differ by {(first - second).abs().max():.2g} from call to call: "
            "in evaluation mode nothing may be drawn at random, or kept between calls"
        )
    return "the same bits twice"


def check_saving(trial: Trial) -> str:
    """Write a checkpoint, and read it into another network."""
    expected = trial.network.preprocessing
    record = start_record(preprocessing=expected.to_dict())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        save_checkpoint(trial.model.state_dict(), record, path)
        state, record = read_checkpoint(path)
        size = path.stat().st_size
    if Preprocessing.from_untrusted(record.preprocessing) != expected:
        raise FaultError(f"{expected} comes back as {record.preprocessing}")
    other = trial.build()
    load_model_state(other, state)
    if not torch.equal(trial.score(trial.samples), trial.score(trial.samples, other)):
        raise FaultError(
            "loaded, it gives other scores: something that was learnt is not in its "
            "state_dict()"
        )
    return f"{size / 1e6:.1f} MB, the same scores"


def check_saliency(trial: Trial) -> str:
    """Compute saliency maps of both classes."""
    return check_maps(trial, partial(compute_attribution_maps, method="gradient"))


def check_grad_cam(trial: Trial) -> str:
    """Compute Grad-CAM of both classes, at the network's layer."""
    layer = trial.network.layer
    return f"{check_maps(trial, compute_grad_cam_maps)}, at {layer}"


def check_maps(trial: Trial, compute_maps: Callable[..., Tensor]) -> str:
    """Look at the maps of both classes; of one they may be empty."""
    network = trial.network
    detector = Detector(
        trial.model, network.preprocessing, layer=network.layer, layout=network.layout
    )
    samples = trial.samples.repeat(2, 1, 1, 1)
    classes = [REAL] * NUM_IMAGES + [FAKE] * NUM_IMAGES
    maps = compute_maps(samples, classes, detector)
    expected = (len(samples), *samples.shape[-2:])
    if maps.shape != expected:
        raise FaultError(f"the maps are {tuple(maps.shape)}, not {expected}")
    if not maps.isfinite().all():
        raise FaultError("a map is not finite")
    num_telling = int((maps.amax((1, 2)) > maps.amin((1, 2))).sum())
    if not num_telling:
        raise FaultError("every map is constant")
    return f"{num_telling} of {len(maps)} maps show something"


def check_resumption(trial: Trial) -> str:
    """Train on from a snapshot; all weights must be those of training on at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.pt"
        save_tensors(trial.trainer.state_dict(), path)
        trial.trainer.train_one_epoch()
        resumed = trial.build_trainer(trial.build())
        resumed.load_state_dict(load_tensors(path))
    resumed.train_one_epoch()
    others = resumed.model.state_dict()
    state = trial.model.state_dict()
    different = [name for name in state if not torch.equal(state[name], others[name])]
    if different:
        raise FaultError(
            f"a step later {name_some(different)} differ: something that a step "
            "depends on is neither in state_dict() nor in torch's generator"
        )
    return f"the same bits in {len(state)} tensors after a step"


def name_some(names: Sequence[str]) -> str:
    """Return some names, and how many others there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


CHECKS: dict[str, Callable[[Trial], str]] = {
    "builds": check_building,
    "gives logits": check_logits,
    "trains a step": check_training,
    "scores the same alone and in a batch": check_independence,
    "scores the same twice": check_repetition,
    "saves and loads": check_saving,
    "saliency map": check_saliency,
    "Grad-CAM": check_grad_cam,
    "resumes bit for bit": check_resumption,
}
NEEDED = ("builds", "gives logits")  # by all that follow


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_model_flag(parser, take_network)
    command_line.add_seed_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script."""
    args = parse_args(argv)
    is_wrong = False
    for finding in run_checks(Trial(get_network(args.model), args.seed)):
        command_line.say(str(finding))
        is_wrong |= bool(finding.fault)
    return int(is_wrong)


if __name__ == "__main__":
    command_line.run(main)
