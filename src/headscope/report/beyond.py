"""Losses beyond the trained context, for sweeps of runs that measured them."""

import numpy as np

from headscope.render.figures import Series, averaged
from headscope.report.results import Combination, Sweep
from headscope.report.statistics import clearly_above
from headscope.report.tables import Rows
from headscope.sweep.jobs import shortened

KEY = "loss_by_position.sliding."  #: begins the facts with the loss of a way to go on, at a context

BY_POSITION = "loss_by_position.non_overlapping."  #: begins the facts with the losses of a way, by position
POINTS = 32  #: of a line in the figure

CAPTION = (
    "The loss on the same targets, each with exactly as many tokens of context as the column says: mean ± standard"
    " deviation over seeds. “Worse than”, at the longest context, gives the places of the combinations that are clearly"
    " better there, each going on as it was trained, by the rule of the ranking; other ways to go on use the same runs"
    " and are not compared."
)


def beyond(sweep: Sweep) -> Rows:
    """A row for each combination and way to go on, the lowest loss at the longest context first."""
    named = {
        tuple(key.removeprefix(KEY).rsplit(".", 1)) for r in sweep.samples for key in r.facts if key.startswith(KEY)
    }
    contexts = sorted({int(context) for _, context in named})
    rows: Rows = [("", *sweep.keys, "goes on", *(f"{c} tokens" for c in contexts), "worse than")]
    if not contexts:
        return rows
    ways = sorted({way for way, _ in named}, key=lambda way: (way != "as trained", way))
    places = {c.name: str(place) for place, c in enumerate(sweep.ranked, 1)}
    worse = _worse(sweep, f"{KEY}as trained.{contexts[-1]}")
    found = [
        (c, way, [_losses(c, f"{KEY}{way}.{context}") for context in contexts]) for c in sweep.ranked for way in ways
    ]
    found = [row for row in found if any(len(losses) for losses in row[2])]
    for c, way, by_context in sorted(found, key=lambda row: row[2][-1].mean() if len(row[2][-1]) else np.inf):
        clear = worse[c.name] if way == "as trained" else ""
        cells = (_said(losses) for losses in by_context)
        rows.append((places[c.name], *map(shortened, c.values), way, *cells, clear))
    return rows


def by_position(sweep: Sweep) -> list[Series]:
    """The loss by tokens of context, a line a combination as it was trained; the lowest at its end first."""
    found = []
    for c in sweep.ranked:
        curves = [r.facts.get(f"{BY_POSITION}as trained") for r in c.results]
        if all(curves):
            found.append(averaged(c.name, np.array(curves).mean(0).tolist(), POINTS))  # (n, T) to (T,)
    return sorted(found, key=lambda s: (-s.x[-1], s.y[-1]))


def _losses(c: Combination, key: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Of the runs that measured it, (n,)."""
    return np.array([r.facts[key] for r in c.results if r.facts.get(key) is not None])


def _said(losses: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    if not len(losses):
        return "–"
    return f"{losses.mean():.4f}" + (f" ± {losses.std(ddof=1):.4f}" if len(losses) > 1 else "")


def _worse(sweep: Sweep, key: str) -> dict[str, str]:
    """For each combination by name the places of those that are clearly better, among those that all seeds reached."""
    losses = [_losses(c, key) for c in sweep.ranked]
    rows = zip(sweep.ranked, clearly_above(losses, [c.seeds for c in sweep.ranked]), strict=True)
    return {c.name: "" if sweep.incomparable else ", ".join(str(j + 1) for j in np.flatnonzero(row)) for c, row in rows}
