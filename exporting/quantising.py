"""An exported detector in 8-bit integers: a quarter of the size, nearly the same.

Weights and activations of convolutions and matrix products become 8-bit integers, whose
ranges are those met on a dataset's training images.

Source: Jacob et al., CVPR 2018, section 2; computed by ONNX Runtime's quantiser.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from exporting.formats import add_description, quiet
from judging.exported import PIXELS

try:  # an extra, for exporting
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process
except ImportError:
    onnx = quantization = None

_TYPES = ["Conv", "Gemm", "MatMul"]


class _Reader:
    """Gives the quantiser one batch after the other."""

    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch by the input's name; None after the last."""
        samples = next(self._batches, None)
        return None if samples is None else {PIXELS: samples}


def save_quantised(
    source: Path,
    target: Path,
    batches: Iterator[np.ndarray],
    description: dict[str, Any],
) -> None:
    """Save a detector of ONNX in 8-bit integers, its description inside.

    `batches` are of training images, uint8 (n, S, S, 3).
    """
    with quiet(with_warnings=True), TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            _Reader(batches),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=_TYPES,
            per_channel=True,
        )
    onnx.save(add_description(onnx.load(target), description), target)
