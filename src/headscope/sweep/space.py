"""The space of a search: Optuna's distributions, and the combinations of a space that has finitely many."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from headscope.errors import UserError
from headscope.sweep.values import MAX_VALUES, distinct_values

MAX_CORNERS = 32  #: maximum number of combinations to check before the first trial

Space = Mapping[str, Any]  #: Optuna's distributions by key


def distribution(override: Override) -> BaseDistribution:
    """Converts `a,b`, `range(1, 5)`, `interval(0, 1)` or `int(interval(1, 9))`; the last three may have `tag(log, …)`.

    Raises `UserError` for anything that Optuna cannot search as it was typed.
    """
    value: Any = override.value()
    tags: set[str] = getattr(value, "tags", set())
    log = "log" in tags
    try:
        if tags - {"log"}:
            raise ValueError("the only tag is log")
        match value:
            case ChoiceSweep():
                return CategoricalDistribution(distinct_values(override))
            case IntervalSweep(start=int(low), end=int(high)):  # int(interval(…)); others have floats
                if re.search(r"[\d.]*\.\d*[1-9]|\de-\d", str(override.input_line)):  # Hydra has cut off the fractions
                    raise ValueError("int(interval(…)) needs integers as limits")
                return IntDistribution(low, high, log=log)
            case IntervalSweep(start=float(low), end=float(high)) if math.isfinite(high - low):
                return FloatDistribution(low, high, log=log)
            case RangeSweep(start=int(start), stop=int(stop), step=int(step)) if numbers := range(start, stop, step):
                low, high = sorted((numbers[0], numbers[-1]))
                return IntDistribution(low, high, log=log, step=abs(step))
    except ValueError as e:
        raise UserError(f"{override.input_line} cannot be searched: {' '.join(str(e).split())}") from e
    allowed = "a,b or range(…) of integers, interval(…) or tag(log, …)"
    raise UserError(f"{override.input_line} cannot be searched; use {allowed}")


def corners(space: Space) -> list[tuple[Any, ...]]:
    """Returns the combinations of extreme values: all choices, and both ends of each range.

    If there are more than `MAX_CORNERS`, returns just enough of them to contain each extreme value at least once.
    """
    ends = [list(d.choices) if hasattr(d, "choices") else [d.low, d.high] for d in space.values()]
    if math.prod(map(len, ends)) <= MAX_CORNERS:
        return list(itertools.product(*ends))
    return [tuple(e[i % len(e)] for e in ends) for i in range(max(map(len, ends)))]


def size(space: Space) -> float:
    """Returns the number of combinations in a space; infinity if `all_values` cannot list the values of a key."""
    return math.prod(len(all_values(d)) or math.inf for d in space.values())


def all_values(d: Any) -> Sequence[Any]:
    """Returns all values of a distribution, or an empty sequence if they are continuous or more than `MAX_VALUES`."""
    if hasattr(d, "choices"):
        return list(d.choices)
    if isinstance(d.low, int):
        return range(d.low, d.high + 1, d.step) if d.high - d.low < MAX_VALUES else []
    return [d.low] if d.low == d.high else []
