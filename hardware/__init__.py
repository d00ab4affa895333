"""What the suite runs on; start at `device.py`: device, precision, memory.

`distributed.py`: one process among several. `fast_xception.py`, `fused_layers.py`,
`kernels.py` and `kernels.c`: both models' layers between the matrix products on CPUs;
nothing else needs them.
"""

from hardware.device import (
    DTYPES,
    Compute,
    Precision,
    choose_device,
    choose_precision,
    compile_model,
    is_compiled,
    keep_large_blocks,
    prepare_compute,
    prepare_device,
    show_progress,
)
from hardware.fused_layers import describe_kernels

__all__ = [
    "DTYPES",
    "Compute",
    "Precision",
    "choose_device",
    "choose_precision",
    "compile_model",
    "describe_kernels",
    "is_compiled",
    "keep_large_blocks",
    "prepare_compute",
    "prepare_device",
    "show_progress",
]
