"""A report's tables, before anybody decides how they look."""

import csv
import io

import numpy as np

from headscope.report.results import Sweep
from headscope.report.statistics import Array
from headscope.sweep.jobs import short_number

SLIDING = "loss_by_position.sliding."  #: begins the facts with the loss of a way to go on, at a context

Rows = list[tuple[str, ...]]  #: of text, the header first


def ranking(sweep: Sweep) -> Rows:
    """Each combination with its losses, and the places of those that it is clearly worse than."""
    rows: Rows = [("", *sweep.keys, "val/loss", "± sd", "seeds", "worse than", "parameters", "seconds", "tokens/s")]
    for place, (c, worse) in enumerate(zip(sweep.ranked, sweep.worse("val_loss"), strict=True), 1):
        numbers = (spread(c.of(key), ",.0f")[0] for key in ("parameters", "train_seconds", "tokens_per_second"))
        rows.append((str(place), *map(short_number, c.values), *spread(c.losses), str(c.seeds), worse, *numbers))
    return rows


def effects(sweep: Sweep) -> Rows:
    """Each value of each key alone, over all others; none for a single key, or where trials chose values."""
    rows: Rows = [("key", "value", "val/loss", "± sd", "runs")]
    for key in sweep.keys if len(sweep.keys) > 1 and not sweep.trials else ():
        rows += [(key, *map(short_number, c.values), *spread(c.losses), str(c.seeds)) for c in sweep.by([key])]
    return rows


def beyond(sweep: Sweep) -> Rows:
    """A row for each combination and way to go on past the trained context, the lowest loss at the longest first."""
    named = {tuple(key.removeprefix(SLIDING).rsplit(".", 1)) for key in sweep.facts(SLIDING)}
    contexts = sorted({int(context) for _, context in named})
    rows: Rows = [("", *sweep.keys, "goes on", *(f"{c} tokens" for c in contexts), "worse than")]
    found = []
    for way in sorted({way for way, _ in named}, key=lambda way: (way != "as trained", way)):
        compared = sweep.worse(f"{SLIDING}{way}.{contexts[-1]}") if way == "as trained" else [""] * len(sweep.ranked)
        for place, (c, worse) in enumerate(zip(sweep.ranked, compared, strict=True), 1):
            losses = [c.of(f"{SLIDING}{way}.{context}") for context in contexts]
            if any(map(len, losses)):
                cells = [" ± ".join(filter(None, spread(x))) or "–" for x in losses]
                last = losses[-1].mean() if len(losses[-1]) else np.inf
                found.append((last, place, (str(place), *map(short_number, c.values), way, *cells, worse)))
    return rows + [row for *_, row in sorted(found, key=lambda row: row[:2])]


def roles_formed(sweep: Sweep) -> Rows:
    """A row for each role and combination: when the first confirmed head had it; none where no run looked at heads."""
    rows: Rows = [("role", "", *sweep.keys, "formed", "step", "± sd", "later than")]
    for role in sorted({key.split(".")[1] for key in sweep.facts("roles.")}):
        key = f"roles.{role}.step"
        for place, (c, later) in enumerate(zip(sweep.ranked, sweep.above(key), strict=True), 1):
            step, deviation = spread(c.of(key), ".0f")
            formed = f"{len(c.of(key))} of {c.seeds}"
            rows.append((role, str(place), *map(short_number, c.values), formed, step or "never", deviation, later))
    return rows


def spread(numbers: Array, form: str = ".4f") -> tuple[str, str]:
    """Mean and standard deviation as text; nothing where there are too few numbers."""
    mean = format(numbers.mean(), form) if len(numbers) else ""
    return mean, format(numbers.std(ddof=1), form) if len(numbers) > 1 else ""


def jobs(sweep: Sweep) -> Rows:
    """Every job."""
    rows: Rows = [("job", *sweep.swept, "state", "steps", "val/loss", "best", "seconds")]
    for r in sweep.results:
        s, best, seconds = r.status, r.facts.get("best_val_loss"), r.facts.get("train_seconds")
        losses = [f"{x:.4f}" if x is not None else "" for x in (s.val_loss, best)]
        values = (short_number(r.job.values.get(key, "")) for key in sweep.swept)
        rows.append((r.job.name, *values, s.state, str(s.steps[0] or ""), *losses, f"{seconds:.1f}" if seconds else ""))
    return rows


def trials(sweep: Sweep) -> Rows:
    """What each trial came to; no rows without any."""
    rows: Rows = [(*sweep.keys, "val/loss of the trial", "")]
    chosen = {c.values for c in sweep.ranked}
    for r in sweep.trials:
        values, loss = tuple(r.job.values.get(key, "") for key in sweep.keys), r.status.val_loss
        rows.append(
            (*map(short_number, values), f"{loss:.4f}" if loss else r.status.state, "chosen" * (values in chosen))
        )
    return rows


def failed(sweep: Sweep) -> Rows:
    """The jobs that did not complete, with the reason that each gave."""
    rows: Rows = [("job", "state", "reason")]
    for r in sweep.results:
        if r.status.state not in ("completed", "pruned"):
            rows.append((r.job.name, r.status.state, r.status.reason or "it was stopped, or has not started"))
    return rows


def runs_csv(sweep: Sweep) -> str:
    """A row for each job: its name, its state, its swept values and every number in its summary."""
    facts = [{k: v for k, v in r.facts.items() if isinstance(v, int | float)} for r in sweep.results]
    metrics = dict.fromkeys(key for row in facts for key in row if key not in sweep.swept)
    file = io.StringIO()
    writer = csv.DictWriter(file, ["job", "state", *sweep.swept, *metrics], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for r, numbers in zip(sweep.results, facts, strict=True):
        writer.writerow({**numbers, **r.job.values, "job": r.job.name, "state": r.status.state})
    return file.getvalue()
