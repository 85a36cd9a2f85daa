"""Windows are a pure function of (seed, step, rank), and a slow Bayes predictor confirms the optimum."""

import math

import numpy as np
import pytest
import torch

from headscope.data.generated import CHUNK, SYMBOLS, VALIDATION, Generated, GeneratedWindows
from headscope.data.repeated import Repeated
from headscope.data.tokenizers import CharTokenizer, WordTokenizer
from headscope.data.windows import IGNORE, TrainBatches
from headscope.errors import UserError

T = 20
SMALL = Repeated(vocab_size=5, shortest=2, longest=7)  # with so few tokens, several periods often fit the same window


@pytest.fixture(scope="module")
def corpus():
    return Repeated(12, 3, 9).load(T)


def batches(corpus, **changes):
    return TrainBatches(**{"windows": corpus.train, "block_size": T, "seed": 3, "batch_size": 48} | changes)


def drawn(rule, n, seed=0, block_size=T):
    return rule.sample(np.random.default_rng(seed), n, block_size)


def bayes(window, rule):
    """Yields the probabilities of each next token, from the posterior over periods, token by token."""
    v, periods = rule.vocab_size, range(rule.shortest, rule.longest + 1)
    belief = dict.fromkeys(periods, 1 / len(periods))
    for i, token in enumerate(window):
        given = {p: np.full(v, 1 / v) if i < p else np.eye(v)[window[i - p]] for p in periods}
        yield sum(belief[p] * given[p] for p in periods)
        belief = {p: belief[p] * given[p][token] for p in periods}
        total = sum(belief.values())
        belief = {p: b / total for p, b in belief.items()}


def loss_of(predict, x, y):
    """Returns the loss in nats per target; the first token of a window is not a target."""
    nats = [
        -math.log(p[token])
        for before, last in zip(x.tolist(), y[:, -1].tolist(), strict=True)
        for token, p in list(zip([*before, last], predict([*before, last]), strict=True))[1:]
    ]
    return sum(nats) / len(nats)


def test_a_window_repeats_its_first_tokens():
    x, y = drawn(Repeated(50, 4, 6), 200)
    assert x.shape == y.shape == (200, T)
    assert (x[:, 1:] == y[:, :-1]).all()
    window = np.concatenate((x, y[:, -1:]), 1)
    fits = [{p for p in range(1, T) if (w[p:] == w[:-p]).all()} for w in window]
    assert all(f & {4, 5, 6} for f in fits)
    assert {min(f) for f in fits} == {4, 5, 6}, "every period occurs"
    assert set(window.flat) == set(range(50))


@pytest.mark.parametrize(("v", "period", "expected"), [(64, 16, 2.0124), (50, 25, 1.9161), (2, 3, 2 / 5 * math.log(2))])
def test_a_period_that_is_known_costs_its_new_tokens(v, period, expected):
    """The expected loss is (L - 1) / (2L - 1) · ln V for windows of two periods of L tokens."""
    optimum = Repeated(v, period, period).load(2 * period - 1).optimum
    assert optimum == pytest.approx(expected, abs=5e-5)
    assert optimum == pytest.approx((period - 1) / (2 * period - 1) * math.log(v), abs=1e-9)


@pytest.mark.parametrize("rule", [SMALL, Repeated(2, 1, 20), Repeated(9, 3, 3)])
def test_the_optimum_is_the_loss_of_a_predictor_that_infers_the_period(rule):
    x, y = drawn(rule, 40)
    assert rule.optimum(x, y) == pytest.approx(loss_of(lambda w: bayes(w, rule), x, y), abs=1e-9)


def test_no_other_predictor_reaches_the_optimum():
    x, y = drawn(SMALL, 2000, seed=1)
    optimum = SMALL.optimum(x, y)
    for other in (Repeated(5, 2, 8), Repeated(5, 1, 7), Repeated(5, 2, 20)):  # Bayes predictors with a wrong prior
        assert other.optimum(x, y) > optimum


def test_the_hidden_period_costs_what_theory_says():
    """If only one period fits each window, the optimum is ln K / T above the loss with known periods."""
    rule, t = Repeated(64, 8, 24), 64
    x, y = drawn(rule, 20_000, seed=5, block_size=t)
    expected = (math.log(17) + 15 * math.log(64)) / t  # a period has 16 tokens on average
    deviation = math.sqrt((17**2 - 1) / 12) * math.log(64) / t
    assert rule.optimum(x, y) == pytest.approx(expected, abs=5 * deviation / math.sqrt(len(x)))
    assert rule.load(t).optimum == pytest.approx(expected, abs=5 * deviation / math.sqrt(VALIDATION))


def test_a_batch_is_a_pure_function_of_seed_and_step(corpus):
    # A batch has 48 windows, so every second batch needs two chunks.
    first = [batches(corpus).batch(step) for step in range(6)]
    again = batches(Repeated(12, 3, 9).load(T))
    for step in (5, 0, 3):
        assert torch.equal(again.batch(step)[0], first[step][0])
        assert torch.equal(again.batch(step)[1], first[step][1])
    resumed = iter(batches(corpus, first_step=lambda: 4))
    assert torch.equal(next(resumed)[0], first[4][0])
    assert not torch.equal(batches(corpus, seed=4).batch(0)[0], first[0][0])
    assert torch.equal(batches(corpus, same_batch=True).batch(5)[0], first[0][0])


def test_ranks_and_accumulation_share_the_windows_of_one_process(corpus):
    whole, _ = batches(corpus).batch(7)
    shares = [batches(corpus, rank=rank, world=3).batch(7)[0] for rank in range(3)]
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), whole)
    parts = batches(corpus, batch_size=16, accumulate=3)
    assert torch.equal(torch.cat([parts.batch(7, part)[0] for part in range(3)]), whole)


def test_no_window_comes_twice_and_none_is_in_both_splits():
    corpus = Repeated(62, 8, 24).load(32)
    windows = torch.cat([x for s in (1, 2) for x, _ in [corpus.train.stream(s, range(70 * CHUNK), 32)]])
    seen = {tuple(w) for w in torch.cat([windows, *(x for x, _ in corpus.val.once(100))]).tolist()}
    assert len(seen) == 2 * 70 * CHUNK + VALIDATION


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 100, 1000])
def test_validation_counts_every_window_once(corpus, world, batch_size):
    parts = [batch for rank in range(world) for batch in corpus.val.once(batch_size, rank, world)]
    assert all(len(x) <= batch_size for x, _ in parts)
    x, y = (torch.cat(t) for t in zip(*parts, strict=True))
    assert len(x) == VALIDATION
    assert (y != IGNORE).sum() == corpus.tokens == VALIDATION * T
    whole = torch.cat([torch.cat((x, y), 1) for x, y in corpus.val.once(VALIDATION)])
    assert sorted(torch.cat((x, y), 1).tolist()) == sorted(whole.tolist())


def test_validation_does_not_depend_on_the_seed_of_a_run(corpus):
    again = Repeated(12, 3, 9).load(T)
    assert again.sha256 == corpus.sha256
    assert torch.equal(next(again.val.once(9))[0], next(corpus.val.once(9))[0])
    assert len({Repeated(*a).load(T).sha256 for a in ((12, 3, 9), (12, 3, 8), (12, 2, 9), (11, 3, 9))}) == 4


def test_tokens_can_be_typed(corpus):
    assert corpus.tokenizer.vocab == list("abcdefghijkl")
    assert corpus.tokenizer.opening == 0
    assert corpus.characters == 1
    assert len(set(SYMBOLS)) == len(SYMBOLS)
    assert all(c.isprintable() and not c.isspace() for c in SYMBOLS)


def test_a_tokenizer_that_has_the_tokens_fits(corpus):
    vocab = [*reversed("abcdefghijklm"), "\n"]
    other = Repeated(12, 3, 9).load(T, CharTokenizer(vocab=vocab))
    x, y = next(other.val.once(30))
    expected, targets = next(corpus.val.once(30))
    assert other.tokenizer.decode(x[7].tolist()) == corpus.tokenizer.decode(expected[7].tolist())
    assert other.tokenizer.decode(y[7].tolist()) == corpus.tokenizer.decode(targets[7].tolist())
    assert (other.optimum, other.sha256) == (corpus.optimum, corpus.sha256)


def test_a_target_that_does_not_count_stays_one():
    class Blank(Generated):
        name, vocab_size = "blank", 3

        def sample(self, rng, n, block_size):
            x = rng.integers(3, size=(n, block_size))
            return x, np.where(x == 1, x, IGNORE)

    x, y = next(GeneratedWindows(Blank(), np.array([5, 6, 7]), T, 0, 9).once(9))
    assert set(x.unique().tolist()) == {5, 6, 7}
    assert torch.equal(y, torch.where(x == 6, x, IGNORE))


@pytest.mark.parametrize(
    ("arguments", "tokenizer", "message"),
    [
        ((12, 9, 3), None, r"data.shortest=9 must be at most data.longest=3"),
        ((12, 3, T + 1), None, rf"data.longest={T + 1} does not fit model.block_size={T}: nothing would be repeated"),
        ((12, 3, 9), CharTokenizer(vocab=list("abc")), "data=repeated does not fit .*: unknown character 'd'"),
        ((3, 3, 9), WordTokenizer(vocab=list("abc")), "the data need characters; use a checkpoint .* data=repeated"),
    ],
)
def test_what_cannot_work_is_one_line(arguments, tokenizer, message):
    with pytest.raises(UserError, match=message) as error:
        Repeated(*arguments).load(T, tokenizer)
    assert "\n" not in str(error.value)
