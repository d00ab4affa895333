"""An exported detector as PyTorch's own program, loaded for its check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from judging.exported import ENTRY, OUTPUTS, PIXELS, ExportedDetector, build_exported


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
