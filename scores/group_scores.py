"""One score for a group, such as a video, from those of its samples.

`pooling.py` has the ways to do it.
"""

from dataclasses import replace

import numpy as np
from scipy import special

from scores.pooling import GROUP_SCORES
from scores.score_sets import LOGIT_DIFFERENCE, ScoreSet, compute_log_odds

_INNER = 0.5 - 1e-6  # farther from 0.5, P(fake) does not tell its log odds precisely


class MixedGroupsError(ValueError):
    """Groups hold real and fake samples, so they have no label."""


def score_groups(scores: ScoreSet, how: str = "mean-logit") -> tuple[ScoreSet, str]:
    """Judge each group as one sample, such as a video by its frames.

    Args:
        scores: of samples in groups, with the threshold that groups get as well.
        how: a key of `GROUP_SCORES`. But for 'mean-probability', P(fake) only follows
            from what is made of the logits. Where no logits are known, P(fake) stands
            for them, and scores that are not probabilities where that is not known.

    Returns:
        The groups as samples, in the order of their names and without likelihood
        ratios, and in words what their scores are.

    Raises:
        ValueError: P(fake) is to be averaged and is not known.
        MixedGroupsError: a group holds real and fake samples.

    Source: Yan et al. 2023, "DeepfakeBench", whose video-level AUC averages P(fake).
    """
    if how == "mean-probability" and scores.fake_scores is None:
        raise ValueError("there is no P(fake) to average: choose another --group-score")
    names, index, counts = np.unique(
        scores.groups, return_inverse=True, return_counts=True
    )
    fake_shares = np.bincount(index, scores.labels) / counts
    mixed = names[(fake_shares > 0) & (fake_shares < 1)]
    if mixed.size:
        raise MixedGroupsError(
            f"{mixed.size} of {names.size} groups hold both real and fake samples "
            f"(the first is {str(mixed[0])!r}): they have no label of their own"
        )
    order, ends = np.argsort(index, kind="stable"), np.cumsum(counts)[:-1]
    words, pool = GROUP_SCORES[how]
    ranking, line, what = _choose_scores(scores, how)
    pooled = np.array([pool(part) for part in np.split(ranking[order], ends)])
    fake_scores = None if scores.fake_scores is None else pooled
    if line is not None:
        fake_scores = special.expit(np.polyval(line, pooled))
    source = f"that of the {scores.unit}, not chosen for groups"
    groups = replace(
        scores,
        scores=pooled,
        labels=fake_shares.astype(np.int64),
        fake_scores=fake_scores,
        paths=names.tolist(),
        threshold_source=f"{source}: {scores.threshold_source}",
        unit="groups",
        **dict.fromkeys(("llrs", "keys", "groups", "subsets")),
    )
    return groups, f"{words} of its {scores.unit}' {what}"


def _choose_scores(
    scores: ScoreSet, how: str
) -> tuple[np.ndarray, tuple[float, float] | None, str]:
    """Return what of samples is pooled, its line to P(fake)'s log odds, its name."""
    if scores.fake_scores is None:
        return scores.scores, None, "scores"
    has_logits = scores.score_name == LOGIT_DIFFERENCE
    has_log_odds = has_logits or scores.llrs is not None
    if how == "mean-probability" or not has_log_odds:
        return scores.fake_scores, None, "P(fake)"
    (log_odds,) = compute_log_odds(scores.fake_scores)
    if not has_logits:
        return log_odds, (1.0, 0.0), "calibrated log odds"
    return scores.scores, _find_line(scores, log_odds), "logit differences"


def _find_line(scores: ScoreSet, log_odds: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept from logit differences to log odds (N,)."""
    # Where P(fake) is not rounded; the line goes on beyond.
    inner = np.flatnonzero(np.abs(scores.fake_scores - 0.5) < _INNER)
    if np.unique(scores.scores[inner]).size < 2:
        return 1.0, 0.0
    ends = inner[[scores.scores[inner].argmin(), scores.scores[inner].argmax()]]
    (low, high), (start, end) = scores.scores[ends], log_odds[ends]
    slope = float((end - start) / (high - low))
    return slope, float(start - slope * low)
