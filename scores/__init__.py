"""What a detector said of each image, and everything that follows from it; no torch.

Start at `score_sets.py`: the scores of one detector on one dataset. `score_files.py`:
the same from CSV and to CSV. `groups.py`: frames of one video, subsets, leaks between
splits. `analysis.py`: all numbers of one detector, and comparisons. `runs.py`: several
runs of one recipe.
"""

from scores.groups import find_leaks, groups_from_names, subsets_from_names
from scores.score_files import ScoreFormat, load_score_set, save_score_set
from scores.score_sets import (
    LOGIT_DIFFERENCE,
    ScoreSet,
    calibrate_on,
    describe_fake_score,
    tell_apart,
)

__all__ = [
    "LOGIT_DIFFERENCE",
    "ScoreFormat",
    "ScoreSet",
    "calibrate_on",
    "describe_fake_score",
    "find_leaks",
    "groups_from_names",
    "load_score_set",
    "save_score_set",
    "subsets_from_names",
    "tell_apart",
]
