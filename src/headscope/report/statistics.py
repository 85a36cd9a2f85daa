"""Which combinations differ, given a few seeds of each.

Shapes: K combinations, n seeds of each (`counts`, (K,)), and any leading axes (...) of independent sweeps.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.05  #: chance that a sweep of equal combinations yields even one false difference
POWER = 0.8  #: chance of finding a difference that `seeds_needed` aims at
MOST_SEEDS = 100


def margins(variances: Array, counts: NDArray[np.int64]) -> Array:
    """Half the width of the interval around each pair's difference in means; a larger difference is no chance.

    The intervals hold together: of sweeps whose combinations are all equal, at most about 5% show any difference,
    whatever the number of pairs. Each is the wider of two:

    - Tukey and Kramer's, over all pairs. It assumes that all combinations scatter alike.
    - Welch's, at 5% over the K - 1 comparisons with the best. It assumes nothing of the kind. Its degrees of freedom
      are at most twice the smaller sample's, which changes nothing for equal counts and keeps a sample of 2 from
      borrowing certainty from a larger one.

    Chosen by simulation (`docs/LOG.md`, `tests/report/test_statistics.py`): equal combinations show a false difference
    in at most 5.4% of sweeps; with unequal counts and threefold spread in up to 7.4% (2 against 5 seeds).

    Args:
        variances: sample variances of the losses, (..., K); ignored where there is only one seed.
        counts: seeds of each combination, (K,).

    Returns:
        (..., K, K); nan where either combination has a single seed.
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
    with np.errstate(invalid="ignore"):  # 0 / 0 where two combinations show no spread at all
        welch_free = np.fmax(squared_error**2 / _pair_sums((s2 / n) ** 2 / free), smaller)
    quantile = stats.t.ppf(1 - LEVEL / 2 / (k - 1), np.fmin(welch_free, 2 * smaller))
    rows, columns = np.ix_(tested, tested)
    half[..., rows, columns] = np.maximum(tukey, quantile * np.sqrt(squared_error))
    return half


def differences(samples: Sequence[Array]) -> tuple[Array, Array]:
    """How far the mean of each sample lies above that of each other, and how far it must lie to be no chance.

    Args:
        samples: of each of K combinations some numbers, one a seed; one without any is compared with no other.

    Returns:
        (K, K) each; the second is nan, which nothing exceeds, where either sample has fewer than two numbers.
    """
    counts = np.array([len(x) for x in samples])
    means = np.array([x.mean() if len(x) else np.nan for x in samples])
    variances = np.array([x.var(ddof=1) if len(x) > 1 else 0.0 for x in samples])
    return means[:, None] - means, margins(variances, counts)


def _pair_sums(x: Array) -> Array:
    """(..., K) to (..., K, K)."""
    return x[..., :, None] + x[..., None, :]


def seeds_needed(difference: float, deviation: float, combinations: int, beyond: int) -> int | None:
    """Seeds of each of two combinations at which `margins` finds their difference with 80% power.

    Given are the difference of the true means, the deviation of the losses of one combination, how many are tested
    together, and a number of seeds that was not enough. None if it would take over 100.
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
