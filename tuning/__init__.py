"""What of a network is trained: all, or little beside weights that stay frozen.

`tune.py`: which weights are trained; start there. `backbones.py`: the frozen ones and
their hash. `probe.py`: a head on what layers of a network make of an image.
`features.py`: this, kept in files. `fitting.py`: the head that fits it best.
`head_trainer.py`: the epochs of a training that does both. `first_checks.py`: what a
network must be before any of this. `optimizers.py`: what moves the weights, and how
fast: its schedule.
"""

from tuning.backbones import hash_start, keep_start, load_start, name_kept, select_start
from tuning.first_checks import (
    FaultError,
    build_network,
    check_before_training,
    check_gives_logits,
)
from tuning.head_trainer import HeadTrainer
from tuning.probe import Probe, list_stages
from tuning.tune import Tuning, list_frozen, merge_low_ranks, tune
