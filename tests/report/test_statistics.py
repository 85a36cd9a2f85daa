"""Equal combinations are rarely called different, for any variances, and true differences are found."""

import numpy as np
import pytest
from scipy import stats

from headscope.report.statistics import margins, seeds_needed

SPREADS = {
    "equal": lambda k: np.ones(k),
    "one noisy": lambda k: np.r_[3.0, np.ones(k - 1)],
    "one quiet": lambda k: np.r_[1.0, np.full(k - 1, 3.0)],
    "half noisy": lambda k: np.where(np.arange(k) % 2, 3.0, 1.0),
    "spaced": lambda k: np.geomspace(1, 3, k),
}


def distinguished(means, deviations, counts, sweeps):
    """Returns the pairs that the report would call different, in simulated sweeps: (sweeps, K, K)."""
    rng = np.random.default_rng(0)
    losses = [rng.normal(m, d, (sweeps, n)) for m, d, n in zip(means, deviations, counts, strict=True)]
    centre = np.stack([x.mean(1) for x in losses], 1)
    variances = np.stack([x.var(1, ddof=1) for x in losses], 1)
    return np.abs(centre[:, :, None] - centre[:, None]) > margins(variances, np.array(counts))


def false_rate(spread, k, n, sweeps):
    """Returns the fraction of sweeps of K equal combinations in which any pair is called different."""
    return distinguished(np.zeros(k), SPREADS[spread](k), [n] * k, sweeps).any((1, 2)).mean()


@pytest.mark.parametrize("spread", ["equal", "half noisy"])
@pytest.mark.parametrize("k", [2, 5, 8])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_equal_combinations_are_rarely_told_apart(spread, k, n):
    assert false_rate(spread, k, n, sweeps=5000) <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("spread", SPREADS)
def test_equal_combinations_are_rarely_told_apart_over_the_whole_grid(spread):
    rates = {(k, n): false_rate(spread, k, n, sweeps=20_000) for k in range(2, 9) for n in range(2, 6)}
    assert max(rates.values()) <= 0.06, rates


def test_a_failed_job_does_not_make_it_liberal():
    """One sample has two seeds, and three times the standard deviation of the samples with three seeds."""
    assert distinguished(np.zeros(4), [3, 1, 1, 1], [2, 3, 3, 3], 5000).any((1, 2)).mean() <= 0.06


@pytest.mark.parametrize(
    ("apart", "k", "n", "power"),
    [(3, 2, 3, 0.65), (3, 2, 4, 0.90), (3, 5, 5, 0.85), (6, 2, 3, 0.98), (6, 5, 3, 0.80), (6, 8, 4, 0.98)],
)
def test_true_differences_are_found(apart, k, n, power):
    """One combination is `apart` standard deviations above the others.

    Student's t test of two combinations with 3 seeds finds 3 standard deviations in 78% of sweeps.
    """
    found = distinguished([apart, *[0] * (k - 1)], np.ones(k), [n] * k, 5000)
    assert found[:, 0, 1].mean() >= power


def test_the_margin_is_the_wider_of_scipys_intervals():
    rng = np.random.default_rng(1)
    groups = [rng.normal(0, d, 4) for d in (1, 1, 5, 0.1)]
    half = margins(np.array([g.var(ddof=1) for g in groups]), np.array([4] * 4))
    tukey = stats.tukey_hsd(*groups).confidence_interval(0.95)
    wider = set()
    for i, j in zip(*np.triu_indices(4, 1), strict=True):
        welch = stats.ttest_ind(groups[i], groups[j], equal_var=False).confidence_interval(1 - 0.05 / 3)
        widths = (tukey.high - tukey.low)[i, j] / 2, (welch.high - welch.low) / 2
        assert half[i, j] == half[j, i] == pytest.approx(max(widths), rel=1e-6)
        wider.add(widths[0] > widths[1])
    assert wider == {True, False}, "each interval must be wider for some pair"


def test_a_single_seed_has_no_margin_and_changes_no_other():
    variances, counts = np.array([1.0, 0.0, 4.0]), np.array([3, 1, 2])
    half = margins(variances, counts)
    assert np.isnan(half[1]).all()
    assert np.isnan(half[:, 1]).all()
    both = margins(variances[[0, 2]], counts[[0, 2]])
    assert half[np.ix_([0, 2], [0, 2])] == pytest.approx(both)
    assert np.isnan(margins(np.zeros(2), np.array([1, 3]))).all()
    assert margins(np.zeros(0), np.zeros(0, dtype=int)).shape == (0, 0)


def test_no_spread_at_all_has_a_margin_of_0():
    assert margins(np.zeros(3), np.array([2, 2, 3])) == pytest.approx(np.zeros((3, 3)))


@pytest.mark.parametrize(("difference", "seeds"), [(0.5, 64), (0.8, 26), (1.0, 17)])
def test_two_combinations_need_as_many_seeds_as_cohen_says(difference, seeds):
    """Values of Cohen 1988, Statistical Power Analysis, table 2.4.1: two-tailed 5%, power 0.80, d 0.5, 0.8 and 1.0."""
    assert seeds_needed(difference, 1.0, 2, tried=2) == seeds


def test_seeds_needed_has_ends():
    assert seeds_needed(0.4, 1.0, 2, tried=3) == 100
    assert seeds_needed(0.39, 1.0, 2, tried=3) is None
    assert seeds_needed(0.0, 0.0, 2, tried=3) is None
    assert seeds_needed(9.0, 1.0, 2, tried=7) == 8


@pytest.mark.parametrize(("difference", "k"), [(1.5, 3), (1.0, 5), (2.0, 8)])
def test_the_seeds_it_names_are_enough(difference, k):
    n = seeds_needed(difference, 1.0, k, tried=2)
    found = distinguished([difference, *[0] * (k - 1)], np.ones(k), [n] * k, 5000)
    assert 0.74 < found[:, 0, 1].mean() < 0.86
