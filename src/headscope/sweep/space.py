"""The space of a search: Optuna's distributions, and the combinations of a space that has finitely many."""

import itertools
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from headscope.errors import UserError
from headscope.sweep.values import distinct_values

MAX_CORNERS = 32  #: maximum number of combinations to check before the first trial

Space = Mapping[str, Any]  #: Optuna's distributions by key


def distribution(override: Override) -> BaseDistribution:
    """Converts `a,b`, `range(1, 5)`, `interval(0, 1)` or `int(interval(1, 9))`; the last three may have `tag(log, …)`.

    Raises `UserError` for anything that Optuna cannot search as it was typed.
    """
    value: Any = override.value()
    if isinstance(value, ChoiceSweep):
        return CategoricalDistribution(distinct_values(override))
    tags: set[str] = getattr(value, "tags", set())
    try:
        if unknown := tags - {"log"}:
            raise ValueError(f"{min(unknown)} is not a tag; the only tag is log")
        if isinstance(value, IntervalSweep) and value.start is not None and value.end is not None:
            if isinstance(value.start, int) and isinstance(value.end, int):  # int(interval(…)); others have floats
                return IntDistribution(value.start, value.end, log="log" in tags)
            return FloatDistribution(float(value.start), float(value.end), log="log" in tags)
        if isinstance(value, RangeSweep):
            return _from_range(value, log="log" in tags)
    except ValueError as e:
        raise UserError(f"{override.input_line} cannot be searched: {' '.join(str(e).split())}") from e
    raise UserError(f"{override.input_line} cannot be searched; use a,b or range(…) or interval(…) or tag(log, …)")


def _from_range(value: RangeSweep, log: bool) -> IntDistribution:
    """Returns the distribution of a range; raises ValueError if the range is empty, or if its numbers do not fit."""
    limits = (value.start, value.stop, value.step)
    if not all(isinstance(x, int) for x in limits):
        raise ValueError("a range needs integers; use interval(…), or list the values: 0.1,0.2")
    numbers = range(*limits)  # type: ignore[arg-type]
    if not numbers:
        raise ValueError("the range is empty")
    step = abs(numbers.step)
    if log and step != 1:
        raise ValueError("tag(log, …) needs a range whose step is 1")
    return IntDistribution(min(numbers[0], numbers[-1]), max(numbers[0], numbers[-1]), log=log, step=step)


def corners(space: Space) -> list[tuple[Any, ...]]:
    """Returns the combinations of extreme values: all choices, and both ends of each range.

    If there are too many combinations, returns just enough to contain each extreme value at least once.
    """
    ends = [list(d.choices) if hasattr(d, "choices") else [d.low, d.high] for d in space.values()]
    if math.prod(map(len, ends)) <= MAX_CORNERS:
        return list(itertools.product(*ends))
    return [tuple(e[i % len(e)] for e in ends) for i in range(max(map(len, ends)))]


def size(space: Space) -> float:
    """Returns the number of combinations in a space; infinity if a key has continuous values."""
    return math.prod(len(_all_values(d)) or math.inf for d in space.values())


def untried(space: Space, tried: Container[tuple[str, ...]], limit: int) -> dict[str, Any] | None:
    """Returns a combination whose values, as text, are not in `tried`; looks at no more than `limit` combinations.

    Returns None if there is none, or if the space has continuous values.
    """
    lists = [_all_values(d) for d in space.values()]
    for number in range(int(min(size(space), limit)) if all(lists) else 0):
        combination, rest = [], number
        for values in reversed(lists):  # the last key varies fastest
            rest, index = divmod(rest, len(values))
            combination.append(values[index])
        combination.reverse()
        if tuple(map(str, combination)) not in tried:
            return dict(zip(space, combination, strict=True))
    return None


def _all_values(d: Any) -> Sequence[Any]:
    """Returns all values of a distribution, or an empty sequence if it is continuous."""
    if hasattr(d, "choices"):
        return list(d.choices)
    if isinstance(d.low, int):
        # A list would take gigabytes for a large range; Python cannot index a range of 2**63 numbers.
        return range(d.low, d.high + 1, d.step) if d.high - d.low < 2**53 else []
    return [d.low] if d.low == d.high else []
