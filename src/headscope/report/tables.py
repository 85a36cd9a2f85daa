"""A report's tables, curves and paragraphs, before anybody decides how they look."""

import shlex

import numpy as np

from headscope.report.chart import Series, chart
from headscope.report.results import Combination, Sweep
from headscope.report.statistics import Group
from headscope.sweep.jobs import shortened

Rows = list[tuple[str, ...]]  #: of text, the header first


def ranking(sweep: Sweep) -> Rows:
    """Each combination with the mean and deviation of its losses."""
    rows: Rows = [("", *sweep.keys, "val/loss", "± sd", "runs", "parameters", "seconds", "tokens/s")]
    for place, c in enumerate(sweep.ranked, 1):
        numbers = (f"{c.mean(key):,.0f}" for key in ("parameters", "train_seconds", "tokens_per_second"))
        rows.append((str(place), *map(shortened, c.values), *_spread(c.group), *numbers))
    return rows


def effects(sweep: Sweep) -> Rows:
    """Each value of each key alone, over all others."""
    rows: Rows = [("key", "value", "val/loss", "± sd", "runs")]
    for key in sweep.keys if len(sweep.keys) > 1 else ():
        for c in sweep.by([key]):
            rows.append((key, *map(shortened, c.values), *_spread(c.group)))
    return rows


def _spread(group: Group) -> tuple[str, str, str]:
    """Mean, deviation and number, as a table shows them."""
    return f"{group.mean:.4f}", f"{group.deviation:.4f}" if group.n > 1 else "", str(group.n)


def jobs(sweep: Sweep) -> Rows:
    """Every job."""
    rows: Rows = [("job", *sweep.swept, "state", "steps", "val/loss", "best", "seconds")]
    for r in sweep.results:
        s = r.status
        loss, best = s.val_loss, r.fact("best_val_loss")
        texts = [f"{x:.4f}" if x is not None else "" for x in (loss, best)]
        seconds = f"{r.fact('train_seconds'):.1f}" if r.fact("train_seconds") else ""
        values = (shortened(r.job.values.get(key, "")) for key in sweep.swept)
        rows.append((r.job.name, *values, s.state, str(s.steps[0] or ""), *texts, seconds))
    return rows


def failed(sweep: Sweep) -> Rows:
    """The jobs that did not complete, with the reason that each gave."""
    rows: Rows = [("job", "state", "reason")]
    for r in sweep.results:
        if r.status.state not in ("completed", "pruned"):
            rows.append((r.job.name, r.status.state, r.status.reason or "it was stopped, or has not begun"))
    return rows


def charts(sweep: Sweep) -> list[tuple[str, str]]:
    """Titles and SVG."""
    names = [c.name for c in sweep.ranked]
    step, second = ([_curve(c, key) for c in sweep.ranked] for key in ("step", "seconds"))
    size = [_point(c) for c in sweep.ranked]
    y = f"val/loss, {sweep.unit}"
    band = "band: ± sd over seeds" if any(len(c.losses) > 1 for c in sweep.ranked) else "one seed each"
    found = [
        (f"Loss against steps ({band})", chart(step, "steps", y, f"loss against steps of {', '.join(names)}")),
        (f"Loss against seconds of training ({band})", chart(second, "seconds", y, "loss against seconds")),
        ("Final loss against parameters", chart(size, "parameters", y, "loss against parameters", log_x=True)),
    ]
    return [(title, svg) for title, svg in found if svg]


def _curve(c: Combination, along: str) -> Series:
    """Mean losses of a combination at the validations that all its runs have."""
    histories = [{h["step"]: h for h in r.status.history} for r in c.results]
    steps = sorted(set.intersection(*(set(h) for h in histories)))
    groups = [Group.of([h[s]["val_loss"] for h in histories]) for s in steps]
    x = [float(np.mean([h[s][along] for h in histories])) for s in steps]
    return _series(c.name, x, groups)


def _point(c: Combination) -> Series:
    return _series(c.name, [c.mean("parameters")], [c.group])


def _series(name: str, x: list[float], groups: list[Group]) -> Series:
    spread = [g.deviation if g.n > 1 else 0.0 for g in groups]
    y = [g.mean for g in groups]
    low, high = ([m + sign * s for m, s in zip(y, spread, strict=True)] for sign in (-1, 1))
    return Series(name, x, y, low, high)


Section = tuple[str, list[str], Rows]  #: title, paragraphs, a table


def sections(sweep: Sweep) -> list[Section]:
    """The report but for its charts, its command and what was held fixed."""
    losses = f"Final validation loss in {sweep.unit}, mean and standard deviation over the runs of each combination."
    found: list[Section] = [("Ranking", [losses, *sweep.sentences], ranking(sweep))]
    if len(rows := effects(sweep)) > 1:
        found.append(("Each choice alone", ["Means over everything else that was swept."], rows))
    if len(rows := failed(sweep)) > 1:
        found.append(("Did not complete", [], rows))
    found.append(("Jobs", [], jobs(sweep)))
    return found


def command_of(sweep: Sweep) -> str:
    """The command that makes this sweep again."""
    if not sweep.command:
        return "# started by another launcher, which wrote down no command"
    return f"python train.py {shlex.join(sweep.command)}"
