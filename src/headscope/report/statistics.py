"""Decides which combinations differ, from a few seeds of each.

Shapes: K combinations, n seeds of each (`counts`, (K,)), and any leading axes (...) for independent sweeps.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.05  #: chance of one or more false differences in a sweep of equal combinations
POWER = 0.8  #: chance of finding a true difference with the result of `seeds_needed`
MOST_SEEDS = 100


def margins(variances: Array, counts: NDArray[np.int64]) -> Array:
    """Returns half the width of the interval around each pair's difference in means; a larger one is significant.

    The intervals hold simultaneously: at most about 5% of sweeps with equal combinations show any difference, whatever
    the number of pairs. Each interval is the wider of two:

    - Tukey and Kramer's, over all pairs, which assumes that all combinations have the same variance.
    - Welch's, at 5% over the K - 1 comparisons with the best, without that assumption. Its degrees of freedom are
      limited to twice the smaller sample's, so that a sample of 2 gains no certainty from a larger one; for equal
      counts the limit has no effect.

    Chosen by simulation (`docs/LOG.md`, `tests/report/test_statistics.py`): equal combinations show a false difference
    in at most 5.4% of sweeps; with unequal counts and threefold spread in up to 7.4% (2 against 5 seeds).

    From sample variances (..., K) and `counts` to (..., K, K); nan for pairs with a combination that has one seed.
    """
    tested = counts > 1
    half = np.full((*variances.shape, len(counts)), np.nan)
    n, s2 = counts[tested], variances[..., tested]
    k, free = len(n), n - 1
    if k < 2:
        return half
    pooled = (s2 @ free / free.sum())[..., None, None]
    range_ = stats.studentized_range.ppf(1 - LEVEL, k, free.sum()) / np.sqrt(2)
    tukey = range_ * np.sqrt(pooled * (1 / n[:, None] + 1 / n))

    squared_error = _pair_sums(s2 / n)
    smaller = np.minimum(free[:, None], free)
    with np.errstate(invalid="ignore"):  # 0 / 0 if two combinations have no variance
        welch_free = np.fmax(squared_error**2 / _pair_sums((s2 / n) ** 2 / free), smaller)
    quantile = stats.t.ppf(1 - LEVEL / 2 / (k - 1), np.fmin(welch_free, 2 * smaller))
    rows, columns = np.ix_(tested, tested)
    half[..., rows, columns] = np.maximum(tukey, quantile * np.sqrt(squared_error))
    return half


def differences(samples: Sequence[Array]) -> tuple[Array, Array]:
    """Returns the difference in means for each pair of K samples, and the margin above which it is significant.

    Both are (K, K). A sample has one number per seed; with fewer than two numbers in a sample, the margin is nan, which
    no difference exceeds.
    """
    counts = np.array([len(x) for x in samples])
    means = np.array([x.mean() if len(x) else np.nan for x in samples])
    variances = np.array([x.var(ddof=1) if len(x) > 1 else 0.0 for x in samples])
    return means[:, None] - means, margins(variances, counts)


def _pair_sums(x: Array) -> Array:
    """(..., K) to (..., K, K)."""
    return x[..., :, None] + x[..., None, :]


def seeds_needed(difference: float, deviation: float, combinations: int, beyond: int) -> int | None:
    """Returns the number of seeds with which `margins` finds a difference with 80% power; None if it is over 100.

    `deviation` is the standard deviation of the losses of one of the `combinations` that are tested together; `beyond`
    is a number of seeds that was not enough.
    """
    if difference == 0:
        return None
    n = np.arange(beyond + 1, MOST_SEEDS + 1)
    free = 2 * (n - 1)
    tukey = stats.studentized_range.ppf(1 - LEVEL, combinations, np.inf) / np.sqrt(2)
    threshold = np.maximum(tukey, stats.t.ppf(1 - LEVEL / 2 / (combinations - 1), free))
    power = stats.nct.sf(threshold, free, difference / deviation * np.sqrt(n / 2))
    enough = n[power >= POWER]
    return int(enough[0]) if len(enough) else None
