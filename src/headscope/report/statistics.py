"""What losses of a few seeds say about a difference, and what they do not.

Shapes: K groups (combinations of what was swept), n losses in each.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Group:
    """Losses of one combination.

    Args:
        mean, deviation: of its losses, nats per token; the deviation is nan for one loss.
        n: how many.
    """

    mean: float
    deviation: float
    n: int

    @staticmethod
    def of(losses: Sequence[float]) -> "Group":
        """Mean and sample standard deviation (n - 1 below the root)."""
        x = np.asarray(losses, dtype=float)
        return Group(float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else float("nan"), len(x))


@dataclass(frozen=True)
class Difference:
    """How much a group lies above another, with a 95% interval; no interval (nan) where no noise could be measured."""

    value: float
    low: float
    high: float

    @property
    def measured(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.low))

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.measured and not self.low <= 0 <= self.high


def differences(groups: Mapping[K, Sequence[float]], to: K, seed: int = 0) -> dict[K, Difference]:
    """Each group's mean loss less that of one group, with an interval from a bootstrap of residuals.

    A few losses in each group say little about their own spread, so residuals are pooled over all groups, inflated by
    √(n / (n - 1)), and drawn anew for every mean (Davison and Hinkley 1997, section 3.3). Percentiles of so few are too
    narrow: they are stretched by Student's quantile over the normal one. Assumes that seeds scatter all groups alike.

    Args:
        groups: losses by name.
        to: the group that the others are compared with.
        seed: of the draws.
    """
    pool = np.concatenate([_residuals(x) for x in groups.values()])
    free = sum(len(x) - 1 for x in groups.values())
    rng = np.random.default_rng(seed)
    found = {}
    for name, losses in groups.items():
        if name == to:
            continue
        value = float(np.mean(losses) - np.mean(groups[to]))
        if free < 2:
            found[name] = Difference(value, float("nan"), float("nan"))
            continue
        noise = _means(pool, len(losses), rng) - _means(pool, len(groups[to]), rng)
        low, high = np.quantile(noise, (0.025, 0.975)) * stretch(free)
        found[name] = Difference(value, value + float(low), value + float(high))
    return found


@lru_cache
def stretch(free: int) -> float:
    """Student's 97.5% quantile over the normal one, by simulation: 2.2 for 2 degrees of freedom, 1.2 for 8."""
    drawn = np.random.default_rng(0).standard_t(free, 400_000)
    return float(np.quantile(drawn, 0.975) / 1.959964)


def _residuals(losses: Sequence[float]) -> NDArray[np.float64]:
    x = np.asarray(losses, dtype=float)
    return (x - x.mean()) * np.sqrt(len(x) / (len(x) - 1)) if len(x) > 1 else np.empty(0)


def _means(pool: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(RESAMPLES,): means of n draws."""
    means: NDArray[np.float64] = rng.choice(pool, (RESAMPLES, n)).mean(1)
    return means
