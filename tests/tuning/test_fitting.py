"""Heads fitted to features: against scikit-learn, and by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from tuning import fitting
from tuning.fitting import PENALTIES, Examples, fit_head
from tuning.probe import Head

RANDOM = np.random.default_rng(0)


def make_examples(num: int, *, views: int = 1) -> Examples:
    labels = np.arange(num) % 2
    signal = labels[:, None] * np.array([0.7, -0.4, 0.0, 0.0])
    scales = np.array([1.0, 30.0, 0.01, 5.0])
    rows = [
        ((RANDOM.normal(size=(num, 4)) + signal) * scales + 3).astype(np.float32)
        for _ in range(views)
    ]
    return Examples([[r[:, :1], r[:, 1:]] for r in rows], labels)


def join(examples: Examples) -> np.ndarray:
    return np.concatenate([np.hstack(view) for view in examples.views])


def compute_differences(head: Head, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = head(torch.from_numpy(rows))
    return (logits[:, 1] - logits[:, 0]).numpy()


@pytest.mark.parametrize("own", [None, np.linspace(0, 2, 100)])
@pytest.mark.parametrize("weights", [None, [1.0, 3.0]])
def test_fit_head_equals_logistic_regression_in_views_and_chunks(
    monkeypatch, weights, own
):
    monkeypatch.setattr(fitting, "CHUNK", 37)
    monkeypatch.setattr(fitting, "PENALTIES", (0.01,))
    train, val = make_examples(100, views=2), make_examples(60)
    train = replace(train, weights=own)
    head = Head(4)
    given = None if weights is None else torch.tensor(weights)
    fit_head(head, train, val, given)
    rows, labels = join(train), np.tile(train.labels, 2)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    share = np.ones(200) if weights is None else np.array(weights)[labels]
    share = share * (1 if own is None else np.tile(own, 2))
    # Two logits whose weights share the norm: half the penalty on their difference.
    rival = LogisticRegression(C=2 / 0.01, tol=1e-10, max_iter=1000)
    rival.fit((rows - mean) / deviation, labels, sample_weight=share / share.sum())
    expected = rival.decision_function((join(val) - mean) / deviation)
    np.testing.assert_allclose(
        compute_differences(head, join(val)), expected, atol=2e-3
    )


def test_fit_head_takes_the_penalty_with_the_least_validation_loss(monkeypatch):
    train, val = make_examples(30), make_examples(200)
    losses = {}
    for penalty in PENALTIES:
        monkeypatch.setattr(fitting, "PENALTIES", (penalty,))
        head = Head(4)
        loss = fit_head(head, train, val)
        with torch.no_grad():
            logits = head(torch.from_numpy(join(val)))
        losses[penalty] = F.cross_entropy(logits, torch.from_numpy(val.labels)).item()
        assert loss == pytest.approx(losses[penalty], abs=1e-6)
    monkeypatch.setattr(fitting, "PENALTIES", PENALTIES)
    best = fit_head(Head(4), train, val)
    assert len(set(losses.values())) == len(PENALTIES)
    assert best == pytest.approx(min(losses.values()), abs=1e-4)


@pytest.mark.slow
def test_fit_head_with_a_hidden_layer_learns_what_no_line_separates():
    rows = RANDOM.normal(size=(400, 3)).astype(np.float32)
    rows[:, 2] = 7.5  # constant: of no use, and no harm
    examples = Examples([[rows]], (rows[:, 0] * rows[:, 1] > 0).astype(np.int64))
    correct = {}
    for hidden in (0, 16):
        head = Head(3, hidden)
        fit_head(head, examples, examples, seed=1)
        guesses = compute_differences(head, rows) > 0
        correct[hidden] = (guesses == examples.labels).mean()
        assert head.scale[2] == 0
    assert correct[0] < 0.7 < 0.95 < correct[16]
    again = Head(3, 16)
    fit_head(again, examples, examples, seed=1)
    for name, value in again.state_dict().items():
        assert torch.equal(value, head.state_dict()[name])


def test_fit_head_refuses_features_that_are_not_finite():
    rows = np.full((4, 3), np.nan, dtype=np.float32)
    examples = Examples([[rows]], np.arange(4) % 2)
    with pytest.raises(FloatingPointError, match="not finite; try --precision fp32"):
        fit_head(Head(3), examples, examples)


def test_select_takes_a_part_of_every_view():
    examples = make_examples(6, views=2)
    np.testing.assert_array_equal(join(examples.select(1)), join(examples)[:, 1:])
