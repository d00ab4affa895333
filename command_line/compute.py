"""How networks run, as the flags say; apart because it imports torch."""

import argparse

from hardware import Compute, prepare_compute


def take_compute(args: argparse.Namespace, batch_size: int | None = None) -> Compute:
    """Return how the networks run, as the flags of `add_compute_flags` say.

    Raises:
        ValueError: there is no such device, or it does not have this precision.
    """
    return prepare_compute(
        args.device,
        args.precision,
        batch_size=batch_size or getattr(args, "batch_size", 1),
        workers=getattr(args, "workers", None),
    )
