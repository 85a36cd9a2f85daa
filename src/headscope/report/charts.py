"""The charts of a report: loss curves, loss by position, and loss by number of parameters."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from headscope.render.figures import COLOURS, Series, block_means, curves, horizontal_line
from headscope.report.results import Combination, Sweep
from headscope.report.statistics import Array

BY_POSITION = "loss_by_position.non_overlapping.as trained"  #: summary key of the losses by position
POINTS = 32  #: the points drawn per line of losses by position


def charts(sweep: Sweep) -> dict[str, Figure]:
    """Returns a dictionary from file name to figure. Charts without data are omitted."""
    y, ranked = f"val/loss, {sweep.unit}", sweep.ranked
    seeds = "(mean ± sd over seeds)" if any(c.seeds > 1 for c in ranked) else "(one seed each)"
    found = {}
    for along, unit in (("step", "training step"), ("seconds", "seconds of training")):
        series = [s for c in ranked if (s := _history(c, along)).x]
        if series:
            found[f"loss-by-{along}"] = curves(with_optimum(series, sweep), unit, y, f"Loss by {unit} {seeds}")
    if series := loss_by_position(sweep):
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
    """Adds a horizontal line at the lowest possible loss, if it is known and the same for all runs."""
    optima = {r.summary.get("optimum") for r in sweep.completed}
    if len(optima) != 1 or (optimum := optima.pop()) is None:
        return [*series]
    line = horizontal_line("optimum", optimum, series)
    return [*series[: len(COLOURS) - 1], line, *series[len(COLOURS) - 1 :]]  # only the first seven series are labelled


def loss_by_position(sweep: Sweep) -> list[Series]:
    """Returns the loss by tokens of context, one line per combination: the longest lines first, then by last loss."""
    found = []
    for c in sweep.ranked:
        losses = [r.summary.get(BY_POSITION) for r in c.results]
        if all(losses):
            found.append(block_means(c.name, np.array(losses).mean(0).tolist(), POINTS))  # mean over the runs
    return sorted(found, key=lambda s: (-s.x[-1], s.y[-1]))


def _history(c: Combination, along: str) -> Series:
    """Returns the mean loss of a combination at each validation step that all of its runs have reached."""
    histories = [{h["step"]: (h[along], h["val_loss"]) for h in r.status.history} for r in c.results]
    steps = sorted(set.intersection(*map(set, histories)))
    x, losses = np.array([[h[s] for s in steps] for h in histories]).reshape(c.seeds, -1, 2).T  # (V steps, n) each
    return Series(c.name, x.mean(1).tolist(), losses.mean(1).tolist(), _deviations(losses))


def _deviations(losses: Array) -> list[float]:
    """Returns the standard deviation over seeds (V,) of losses (V, n), or an empty list for one seed."""
    return losses.std(1, ddof=1).tolist() if losses.shape[1] > 1 else []
