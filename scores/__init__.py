"""What a detector said of each image, and everything that follows from it; no torch.

Start at `score_sets.py`: the scores of one detector on one dataset. `score_files.py`:
the same from CSV and to CSV. `groups.py`: frames of one video, subsets, leaks between
splits. `group_scores.py`: one score for a group, in the ways of `pooling.py`.
`pairing.py`: which names mean one sample. `analysis.py`: all numbers of one detector,
and comparisons. `runs.py`: several runs of one recipe.
"""

from hardware.lazy import attach

# They need SciPy.
__getattr__ = attach(
    __name__,
    {
        "groups": "find_groups find_leaks groups_from_names subsets_from_names",
        "score_files": "ScoreFormat load_score_set save_score_set",
        "score_sets": "LOGIT_DIFFERENCE ScoreSet calibrate_on tell_apart",
    },
)
