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
        "DTYPES": "device",
        "Compute": "device",
        "Precision": "device",
        "choose_device": "device",
        "choose_precision": "device",
        "compile_model": "device",
        "describe_kernels": "fused_layers",
        "is_compiled": "device",
        "give_memory_back": "device",
        "keep_large_blocks": "device",
        "prepare_compute": "device",
        "prepare_device": "device",
    },
)
