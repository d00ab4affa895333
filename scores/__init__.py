"""What a detector said of each image, and everything that follows from it; no torch.

Start at `score_sets.py`: the scores of one detector on one dataset. `score_files.py`:
the same from CSV and to CSV. `groups.py`: frames of one video (`pooling.py`: as one
score), subsets, leaks between splits. `analysis.py`: all numbers of one detector, and
comparisons. `runs.py`: several runs of one recipe.
"""

from hardware.lazy import attach

# They need SciPy.
__getattr__ = attach(
    __name__,
    {
        "LOGIT_DIFFERENCE": "score_sets",
        "ScoreFormat": "score_files",
        "ScoreSet": "score_sets",
        "calibrate_on": "score_sets",
        "find_leaks": "groups",
        "groups_from_names": "groups",
        "load_score_set": "score_files",
        "save_score_set": "score_files",
        "subsets_from_names": "groups",
        "tell_apart": "score_sets",
    },
)
