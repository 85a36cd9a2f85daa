"""The curves of a sweep, ready to be drawn."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from headscope.render.figures import COLOURS, Series, curves
from headscope.report.beyond import by_position
from headscope.report.results import Combination, Sweep


def charts(sweep: Sweep) -> dict[str, Figure]:
    """Figures by file name; none where there is nothing to draw."""
    y, ranked = f"val/loss, {sweep.unit}", sweep.ranked
    seeds = "(mean ± sd over seeds)" if any(c.seeds > 1 for c in ranked) else "(one seed each)"
    found = {}
    for along, unit in (("step", "training step"), ("seconds", "seconds of training")):
        series = [s for c in ranked if (s := _history(c, along)).x]
        if series:
            found[f"loss-by-{along}"] = curves(with_optimum(series, sweep), unit, y, f"Loss by {unit} {seeds}")
    if series := by_position(sweep):
        title = "Loss by position, windows side by side"
        found["loss-by-position"] = curves(series, "tokens of context", y, title)
    sizes = [float(c.of("parameters").mean()) for c in ranked]
    if len(set(sizes)) > 1 and min(sizes) > 0:
        points = [
            Series(c.name, [size], [c.mean], [c.deviation] * (c.seeds > 1))
            for c, size in zip(ranked, sizes, strict=True)
        ]
        title = f"Final loss by parameters {seeds}"
        found["loss-by-parameters"] = curves(with_optimum(points, sweep), "parameters", y, title, log_x=True)
    return found


def with_optimum(series: Sequence[Series], sweep: Sweep) -> list[Series]:
    """Series, and a level line for the loss of the best predictor if it is known and the same for all runs."""
    known = {r.facts.get("optimum") for r in sweep.completed}
    if len(known) != 1 or (optimum := known.pop()) is None:
        return [*series]
    places = [x for s in series for x in s.x]
    line = Series("optimum", [min(places), max(places)], [optimum, optimum])
    return [*series[: len(COLOURS) - 1], line, *series[len(COLOURS) - 1 :]]  # among those that have a name


def _history(c: Combination, along: str) -> Series:
    """Losses of a combination at the validations that all its runs have."""
    histories = [{h["step"]: h for h in r.status.history} for r in c.results]
    steps = sorted(set.intersection(*(set(h) for h in histories)))

    def over_runs(key: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.array([[h[s][key] for s in steps] for h in histories])  # (n, validations)

    losses = over_runs("val_loss")
    spread: Sequence[float] = losses.std(0, ddof=1).tolist() if len(histories) > 1 else []
    return Series(c.name, over_runs(along).mean(0).tolist(), losses.mean(0).tolist(), spread)
