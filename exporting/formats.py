"""A detector as a file: ONNX, PyTorch's own program, or its weights alone."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporting.description import write_line
from exporting.graph import Graph
from judging.detector import Detector
from judging.exported import ENTRY, OUTPUTS, PIXELS, ExportedDetector, build_exported
from records.checkpoint_files import save_checkpoint
from utils import read_whole

try:  # extras, for exporting
    import onnx
    import onnxscript  # noqa: F401  the exporter's
except ImportError:
    onnx = None

OPSET = 18


def check_packages() -> None:
    """Raise ValueError if what exporting takes is not installed."""
    if onnx is None:
        raise ValueError(
            "exporting needs packages that are not installed: pip install -r "
            "requirements-export.txt"
        )


def save_onnx(detector: Detector, description: dict[str, Any], path: Path) -> None:
    """Save a detector in ONNX, its description inside.

    Raises ValueError if the exporter cannot translate the network.
    """
    pixels, shapes = _make_input(detector)
    try:
        with quiet("torch.onnx", with_warnings=False):
            program = torch.onnx.export(
                Graph(detector),
                (pixels,),
                dynamo=True,
                verbose=False,
                dynamic_shapes=shapes,
                input_names=[PIXELS],
                output_names=list(OUTPUTS),
                opset_version=OPSET,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{detector.title} cannot be written in ONNX ({reason}): try --format pt2"
        ) from error
    onnx.save(add_description(program.model_proto, description), path)


def add_description(model: Any, description: dict[str, Any]) -> Any:
    """Put a description into a model of ONNX, and return it.

    What the exporter said of each node goes: the folders of who exported it, too.
    """
    for node in model.graph.node:
        node.ClearField("metadata_props")
    onnx.helper.set_model_props(model, {ENTRY: write_line(description)})
    return model


def save_program(detector: Detector, description: dict[str, Any], path: Path) -> None:
    """Save a detector as `torch.export` writes one: no network's code is needed.

    Raises ValueError if the network cannot be traced.
    """
    pixels, shapes = _make_input(detector)
    with quiet("torch.onnx", with_warnings=False):
        try:
            program = torch.export.export(
                Graph(detector), (pixels,), dynamic_shapes=shapes, strict=False
            )
        except Exception as error:  # whatever torch's tracing raises
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{detector.title} cannot be traced, so only its weights can be "
                f"exported (--format safetensors): {reason}"
            ) from error
        for node in program.graph.nodes:  # it names the folders of who exports
            node.meta.pop("stack_trace", None)
        more = {ENTRY: write_line(description)}
        torch.export.save(program, path, extra_files=more)


def save_weights(detector: Detector, description: dict[str, Any], path: Path) -> None:
    """Save a checkpoint's weights and record in safetensors, as publish.py does."""
    save_checkpoint(*read_whole(detector), path)


@dataclass
class Program:
    """Stands for a session of ONNX Runtime; `module` is from pixels to `OUTPUTS`."""

    module: torch.nn.Module

    def run(
        self, names: Sequence[str], inputs: Mapping[str, np.ndarray]
    ) -> list[np.ndarray]:
        """Return outputs by their names."""
        with torch.no_grad():
            outputs = self.module(torch.from_numpy(inputs[PIXELS]))
        found = dict(zip(OUTPUTS, outputs, strict=True))
        return [found[name].numpy() for name in names]


def load_program(path: Path) -> ExportedDetector:
    """Load what `save_program` wrote: only a file that you trust."""
    more = {ENTRY: ""}
    program = torch.export.load(path, extra_files=more)
    return build_exported(Program(program.module()), more[ENTRY], path)


FORMATS: dict[str, Callable[[Detector, dict[str, Any], Path], None]] = {
    "onnx": save_onnx,
    "pt2": save_program,
    "safetensors": save_weights,
}


def _make_input(detector: Detector) -> tuple[torch.Tensor, tuple[Any]]:
    """Return two pictures to trace with, and that others may be more or fewer."""
    side = detector.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    return torch.from_numpy(pixels), ({0: torch.export.Dim("batch")},)


@contextmanager
def quiet(name: str | None = None, *, with_warnings: bool) -> Iterator[None]:
    """Keep what a package's logger, or all, say to developers from the user."""
    logger = logging.getLogger(name)
    level = logger.level
    with warnings.catch_warnings():
        if not with_warnings:
            warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
