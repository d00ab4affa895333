"""What is measured: the textbook way, each lever alone, and the suite's defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace

TASKS = ("train", "eval", "saliency")


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Attributes:
        label: the row's name.
        suite: the suite's own loops, not the textbook's.
        loader: textbook (a PIL image at a time), suite (bytes, normalised by the
            batch) or tensors (ready-made ones, what a perfect data path would give).
        precision: of the forward pass, as of `--precision`.
        channels_last: memory format of model and images.
        fused: the optimizer updates all parameters in one pass.
        workers: processes that read images; None: as the suite chooses.
        cache: images are decoded once, and kept.
        compiled: through `torch.compile`.
        folded: batch normalisation is folded into the convolutions.
    """

    label: str
    suite: bool = False
    loader: str = "textbook"
    precision: str = "fp32"
    channels_last: bool = False
    fused: bool = False
    workers: int | None = 0
    cache: bool = False
    compiled: bool = False
    folded: bool = False


TEXTBOOK = Setting("textbook")
DEFAULTS = Setting(
    "suite",
    True,
    "suite",
    precision="auto",
    channels_last=True,
    fused=True,
    workers=None,
)


def list_settings(
    model: str, task: str, *, workers: int, quick: bool = False, compiled: bool = False
) -> list[Setting]:
    """List the settings that a task is measured in, the textbook's first."""
    only_textbook_and_suite = [TEXTBOOK, DEFAULTS]
    on_tensors = replace(DEFAULTS, label="suite, ready tensors", loader="tensors")
    levers = [
        replace(TEXTBOOK, label="channels_last alone", channels_last=True),
        replace(TEXTBOOK, label="reduced precision alone", precision="auto"),
        replace(TEXTBOOK, label="batch normalising alone", loader="suite"),
        replace(TEXTBOOK, label=f"{workers} workers alone", workers=workers),
    ]
    beyond = [
        replace(DEFAULTS, label=f"suite, {workers} workers", workers=workers),
        replace(DEFAULTS, label="suite, cache", cache=True),
    ]
    if compiled:
        beyond.append(replace(DEFAULTS, label="suite, compiled", compiled=True))
    if task == "train":
        levers.append(replace(TEXTBOOK, label="fused optimizer alone", fused=True))
    elif model == "XceptionBased":
        beyond.append(replace(DEFAULTS, label="suite, folded", folded=True))
    if quick:
        return [*only_textbook_and_suite, on_tensors]
    if task == "saliency":  # the textbook's loop is too slow to repeat for each lever
        return [*only_textbook_and_suite, *beyond[2:], on_tensors]
    return [TEXTBOOK, *levers, DEFAULTS, *beyond, on_tensors]
