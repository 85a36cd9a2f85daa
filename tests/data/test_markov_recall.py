"""Markov chains and recall: a slow predictor confirms the optimum, and the windows follow the rule of their data."""

import math

import numpy as np
import pytest
import torch

from headscope.data.markov import Markov
from headscope.data.recall import Recall
from headscope.data.windows import IGNORE
from headscope.errors import UserError


def drawn(rule, n, t, seed=0):
    return rule.sample(np.random.default_rng(seed), n, t)


def test_the_optimum_of_a_chain_is_the_loss_of_a_predictor_that_counts():
    rule = Markov(4)
    x, y = drawn(rule, 30, 25)
    nats = []
    for row, last in zip(x.tolist(), y[:, -1].tolist(), strict=True):
        window = [*row, last]
        for t in range(25):
            after = [window[i + 1] for i in range(t) if window[i] == window[t]]
            nats.append(-math.log((after.count(window[t + 1]) + 1) / (len(after) + 4)))
    assert rule.optimum(x, y) == pytest.approx(sum(nats) / len(nats), abs=1e-12)


@pytest.mark.parametrize(("states", "optimum"), [(2, 0.5111), (3, 0.8858), (5, 1.4181), (8, 1.9459)])
def test_the_optimum_over_100_targets_is_the_published_figure(states, optimum):
    """Compares with the Bayes-optimal bigram (Edelman et al. 2024): rows from Dirichlet(1), 100 targets."""
    rule = Markov(states)
    assert rule.optimum(*drawn(rule, 20_000, 100)) == pytest.approx(optimum, abs=0.005)


def test_a_chain_follows_rows_that_are_uniform_on_the_simplex():
    """Two successors of the same state in one window are equal with probability E Σ p² = 2 / (V + 1)."""
    x, y = drawn(Markov(3), 20_000, 60)
    assert (x[:, 1:] == y[:, :-1]).all()
    assert np.bincount(x[:, 0], minlength=3) / len(x) == pytest.approx([1 / 3] * 3, abs=0.02)
    agree = [
        row[first + 1] == row[second + 1]
        for row in x[:4000].tolist()
        if len(places := [i for i, s in enumerate(row[:-1]) if s == 0]) >= 2
        for first, second in [places[:2]]
    ]
    assert np.mean(agree) == pytest.approx(0.5, abs=0.03)


def test_every_question_has_its_answer_in_the_window():
    rule = Recall(20, 4)
    x, y = drawn(rule, 200, 15)
    assert (y[:, :8] == IGNORE).all()
    assert (y[:, 8:] != IGNORE).all()
    for row, answers in zip(x.tolist(), y.tolist(), strict=True):
        pairs = dict(zip(row[:8:2], row[1:8:2], strict=True))
        assert len(pairs) == 4
        assert max(pairs) < 10 <= min(pairs.values())
        assert [pairs[key] for key in row[8:]] == answers[8:]
    assert len({key for row in x.tolist() for key in row[8:]}) == 10
    assert rule.optimum(x, y) == 0.0


@pytest.mark.parametrize("rule", [Markov(3), Recall(20, 4)])
def test_a_batch_is_a_pure_function_of_seed_and_place(rule):
    a, b = (rule.load(24).train.stream(3, range(5, 201), 24) for _ in range(2))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])
    other, _ = rule.load(24).train.stream(4, range(5, 201), 24)
    assert not torch.equal(a[0], other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recall(6, 4), "data.pairs=4 needs 4 different keys, .* use data.vocab_size=8 or more"),
        (lambda: Recall(20, 4).load(8), "4 pairs leave no room for a key .* use model.block_size=9 or more"),
    ],
)
def test_what_cannot_work_is_one_line(make, message):
    with pytest.raises(UserError, match=message):
        make()
