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
        kernels: the model may run fused (`fast_xception.py`), SimpleNet pool its own
            way (`models.MaxPool2x2`).
        blocks: large blocks of memory are kept between batches.
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
    kernels: bool = False
    blocks: bool = False


TEXTBOOK = Setting("textbook")
DEFAULTS = Setting(
    "suite",
    True,
    "suite",
    precision="auto",
    channels_last=True,
    fused=True,
    workers=None,
    kernels=True,
    blocks=True,
)
# What the scripts do beyond that, by task.
DEFAULTS_BY_TASK = {
    "train": replace(DEFAULTS, cache=True),
    "eval": DEFAULTS,
    "saliency": DEFAULTS,
}


def list_settings(
    model: str, task: str, *, workers: int, quick: bool = False, compiled: bool = False
) -> list[Setting]:
    """List the settings that a task is measured in, the textbook's first."""
    defaults = DEFAULTS_BY_TASK[task]
    on_tensors = replace(defaults, label="suite, ready tensors", loader="tensors")
    variants = [replace(defaults, label="suite, fp32", precision="fp32")]
    if compiled:
        variants.append(replace(defaults, label="suite, compiled", compiled=True))
    if quick:
        return [TEXTBOOK, defaults, *variants, on_tensors]
    levers = [
        replace(TEXTBOOK, label="channels_last alone", channels_last=True),
        replace(TEXTBOOK, label="reduced precision alone", precision="auto"),
        replace(TEXTBOOK, label="batch normalising alone", loader="suite"),
        replace(TEXTBOOK, label="large blocks kept alone", blocks=True),
        replace(TEXTBOOK, label=f"{workers} workers alone", workers=workers),
    ]
    variants.append(
        replace(defaults, label=f"suite, {workers} workers", workers=workers)
    )
    if task == "train":
        levers.append(replace(TEXTBOOK, label="fused optimizer alone", fused=True))
        variants.append(replace(defaults, label="suite, no cache", cache=False))
    if model == "XceptionBased" or task == "eval":
        unfused = replace(defaults, label="suite, PyTorch's kernels", kernels=False)
        variants.append(unfused)
    return [TEXTBOOK, *levers, defaults, *variants, on_tensors]
