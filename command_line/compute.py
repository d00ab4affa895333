"""Which networks run, how, on what, as the flags say; apart: it imports torch."""

import argparse
from dataclasses import fields, replace

from hardware import Compute, distributed, prepare_compute
from loading.sources.datasets import Source
from models import get_network


def take_compute(args: argparse.Namespace, batch_size: int | None = None) -> Compute:
    """Return how the networks run, as the flags of `add_compute_flags` say.

    Raises ValueError if there is no such device, or it does not have this precision.
    """
    return prepare_compute(
        args.device,
        args.precision,
        batch_size=batch_size or getattr(args, "batch_size", 1),
        workers=getattr(args, "workers", None),
    )


def take_source(args: argparse.Namespace, split: str = "test") -> Source:
    """Return where the flags of `add_source_flags` say that images come from.

    Raises ValueError if the shares do not sum to 1.
    """
    values = {e.name: getattr(args, e.name) for e in fields(Source) if e.name in args}
    return Source(**{"split": split, **values})


def take_shared_compute(args: argparse.Namespace) -> Compute:
    """Return the same for processes that score together, and join them.

    What travels between them is small, and gloo notices at once if one is lost.

    Raises ValueError as `take_compute`, or if there are more processes than GPUs.
    """
    compute = take_compute(args)
    device = distributed.start(compute.device, "gloo")
    precision = replace(compute.precision, device=device)
    return replace(compute, precision=precision, shared=True)


def take_network(name: str) -> str:
    """Take a network's name, as -m does, or say which there are."""
    try:
        get_network(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return name
