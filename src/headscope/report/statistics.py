"""Decides which combinations differ significantly, from a few seeds per combination.

Shapes: K combinations; `counts` (K,) has the number of seeds n of each; leading axes (...) are independent sweeps.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.05  #: probability that a sweep of equal combinations shows any false difference
POWER = 0.8  #: probability of finding a true difference with `seeds_needed` seeds
MAX_SEEDS = 100  #: the largest number of seeds that `seeds_needed` tries


def margins(variances: Array, counts: NDArray[np.int64]) -> Array:
    """Returns the difference in means above which each pair of combinations differs significantly, (..., K, K).

    The error rate covers all pairs together: at most about 5% of sweeps with equal combinations show any difference,
    regardless of the number of pairs. Each margin is the half-width of the wider of two intervals:

    - The Tukey–Kramer interval over all pairs, which assumes that all combinations have the same variance.
    - Welch's interval, with the 5% divided by the K - 1 comparisons with the best (Bonferroni), for unequal variances.
      Its degrees of freedom are limited to twice those of the smaller sample. Otherwise a large sample would
      make the interval of a pair with a sample of 2 too narrow. For equal counts, the limit has no effect.

    Simulations (`docs/LOG.md`, `tests/report/test_statistics.py`) led to this rule. Equal combinations show a false
    difference in at most 5.4% of sweeps, or 7.4% with 2 and 5 seeds and standard deviations that differ threefold.

    `variances` (..., K) has the sample variances. The margin is nan for pairs in which a combination has one seed.
    """
    tested = counts > 1
    half_widths = np.full((*variances.shape, len(counts)), np.nan)
    n, s2 = counts[tested], variances[..., tested]
    k, dof = len(n), n - 1
    if k < 2:
        return half_widths
    pooled = (s2 @ dof / dof.sum())[..., None, None]
    range_ = stats.studentized_range.ppf(1 - LEVEL, k, dof.sum()) / np.sqrt(2)
    tukey = range_ * np.sqrt(pooled * (1 / n[:, None] + 1 / n))

    squared_error = _pair_sums(s2 / n)
    smaller = np.minimum(dof[:, None], dof)
    with np.errstate(invalid="ignore"):  # 0 / 0 if two combinations have no variance
        welch_dof = np.fmax(squared_error**2 / _pair_sums((s2 / n) ** 2 / dof), smaller)
    quantile = stats.t.ppf(1 - LEVEL / 2 / (k - 1), np.fmin(welch_dof, 2 * smaller))
    rows, columns = np.ix_(tested, tested)
    half_widths[..., rows, columns] = np.maximum(tukey, quantile * np.sqrt(squared_error))
    return half_widths


def differences(samples: Sequence[Array]) -> tuple[Array, Array]:
    """Returns the difference in means for each pair of K samples, and the margin above which it is significant.

    Both are (K, K). A sample has one number per seed. If a sample of a pair has fewer than two numbers, the margin is
    nan, so the pair never differs significantly.
    """
    counts = np.array([len(x) for x in samples])
    means = np.array([x.mean() if len(x) else np.nan for x in samples])
    variances = np.array([x.var(ddof=1) if len(x) > 1 else 0.0 for x in samples])
    return means[:, None] - means, margins(variances, counts)


def _pair_sums(x: Array) -> Array:
    """Returns x_i + x_j for all pairs of the K values, (..., K, K)."""
    return x[..., :, None] + x[..., None, :]


def seeds_needed(difference: float, deviation: float, combinations: int, tried: int) -> int | None:
    """Returns the number of seeds with which `margins` finds a difference with 80% power; None if over 100.

    `combinations` is the number of combinations that are compared with each other, `deviation` the standard deviation
    of the losses within each, and `tried` a number of seeds that was not enough.
    """
    if difference == 0:
        return None
    n = np.arange(tried + 1, MAX_SEEDS + 1)
    dof = 2 * (n - 1)
    tukey = stats.studentized_range.ppf(1 - LEVEL, combinations, np.inf) / np.sqrt(2)
    threshold = np.maximum(tukey, stats.t.ppf(1 - LEVEL / 2 / (combinations - 1), dof))
    power = stats.nct.sf(threshold, dof, difference / deviation * np.sqrt(n / 2))
    enough = n[power >= POWER]
    return int(enough[0]) if len(enough) else None
