"""What the suite runs on; start at `device.py`: device, precision, memory.

`distributed.py`: one process among several (`processes.py`: which one). `progress.py`:
the bar, and lines beside it. `fast_xception.py`, `fused_layers.py`, `kernels.py` and
`kernels.c`: both models' layers between the matrix products on CPUs; nothing else needs
them. `lazy.py`: names of this and other packages that are imported when asked for.
"""

from hardware.lazy import attach
from hardware.progress import show_progress, write_beside_progress

__getattr__ = attach(
    __name__,
    {
        "device": "DTYPES Compute Precision choose_device choose_precision "
        "compile_model give_memory_back is_compiled keep_large_blocks prepare_compute",
        "fused_layers": "describe_kernels",
    },
)
