"""The curves of a sweep."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from headscope.render.figures import COLOURS, Series, averaged, curves, level
from headscope.report.results import Combination, Sweep
from headscope.report.statistics import Array

BY_POSITION = "loss_by_position.non_overlapping.as trained"  #: the fact that lists the losses by position
POINTS = 32  #: of each line of losses by position


def charts(sweep: Sweep) -> dict[str, Figure]:
    """Returns figures by file name, without those that would be empty."""
    y, ranked = f"val/loss, {sweep.unit}", sweep.ranked
    seeds = "(mean ± sd over seeds)" if any(c.seeds > 1 for c in ranked) else "(one seed each)"
    found = {}
    for along, unit in (("step", "training step"), ("seconds", "seconds of training")):
        series = [s for c in ranked if (s := _history(c, along)).x]
        if series:
            found[f"loss-by-{along}"] = curves(with_optimum(series, sweep), unit, y, f"Loss by {unit} {seeds}")
    if series := by_position(sweep):
        title = "Loss by position in adjacent windows"
        found["loss-by-position"] = curves(series, "tokens of context", y, title)
    points = [
        Series(c.name, [float(sizes.mean())], [c.mean], _deviations(c.losses[None]))
        for c in ranked
        if len(sizes := c.numbers("parameters"))
    ]
    if len({s.x[0] for s in points}) > 1:
        title = f"Final loss by parameters {seeds}"
        found["loss-by-parameters"] = curves(with_optimum(points, sweep), "parameters", y, title, log_x=True)
    return found


def with_optimum(series: Sequence[Series], sweep: Sweep) -> list[Series]:
    """Returns the series, and a level line at the lowest possible loss if it is known and the same for all runs."""
    optima = {r.facts.get("optimum") for r in sweep.completed}
    if len(optima) != 1 or (optimum := optima.pop()) is None:
        return [*series]
    line = level("optimum", optimum, series)
    return [*series[: len(COLOURS) - 1], line, *series[len(COLOURS) - 1 :]]  # only the first ones are labelled


def by_position(sweep: Sweep) -> list[Series]:
    """Returns the loss by tokens of context, one line per combination, the longest line first, then the lowest."""
    found = []
    for c in sweep.ranked:
        losses = [r.facts.get(BY_POSITION) for r in c.results]
        if all(losses):
            found.append(averaged(c.name, np.array(losses).mean(0).tolist(), POINTS))  # (n, T) to (T,)
    return sorted(found, key=lambda s: (-s.x[-1], s.y[-1]))


def _history(c: Combination, along: str) -> Series:
    """Returns the losses of a combination at those validations that all its runs have."""
    histories = [{h["step"]: (h[along], h["val_loss"]) for h in r.status.history} for r in c.results]
    steps = sorted(set.intersection(*map(set, histories)))
    places, losses = np.array([[h[s] for s in steps] for h in histories]).reshape(c.seeds, -1, 2).T  # (V, n) each
    return Series(c.name, places.mean(1).tolist(), losses.mean(1).tolist(), _deviations(losses))


def _deviations(losses: Array) -> list[float]:
    """Returns the standard deviation over seeds, (V, n) to (V,); an empty list for one seed."""
    return losses.std(1, ddof=1).tolist() if losses.shape[1] > 1 else []
