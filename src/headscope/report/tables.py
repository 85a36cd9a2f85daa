"""A report's tables, before anybody decides how they look."""

import csv
import io
import shlex

from headscope.installed import command
from headscope.report.findings import worse_than
from headscope.report.results import Combination, Sweep
from headscope.sweep.jobs import shortened

Rows = list[tuple[str, ...]]  #: of text, the header first


def ranking(sweep: Sweep) -> Rows:
    """Each combination with its losses, and the places of those that it is clearly worse than."""
    rows: Rows = [("", *sweep.keys, "val/loss", "± sd", "seeds", "worse than", "parameters", "seconds", "tokens/s")]
    for place, (c, better) in enumerate(zip(sweep.ranked, worse_than(sweep), strict=True), 1):
        numbers = (f"{c.of(key).mean():,.0f}" for key in ("parameters", "train_seconds", "tokens_per_second"))
        rows.append((str(place), *map(shortened, c.values), *_losses(c), ", ".join(map(str, better)), *numbers))
    return rows


def effects(sweep: Sweep) -> Rows:
    """Each value of each key alone, over all others; none for a single key, or where trials chose values."""
    rows: Rows = [("key", "value", "val/loss", "± sd", "runs")]
    for key in sweep.keys if len(sweep.keys) > 1 and not sweep.trials else ():
        rows += [(key, *map(shortened, c.values), *_losses(c)) for c in sweep.by([key])]
    return rows


def _losses(c: Combination) -> tuple[str, str, str]:
    """Mean, deviation and number of the losses."""
    return f"{c.mean:.4f}", f"{c.deviation:.4f}" if c.seeds > 1 else "", str(c.seeds)


def jobs(sweep: Sweep) -> Rows:
    """Every job."""
    rows: Rows = [("job", *sweep.swept, "state", "steps", "val/loss", "best", "seconds")]
    for r in sweep.results:
        s, best, seconds = r.status, r.facts.get("best_val_loss"), r.facts.get("train_seconds")
        losses = [f"{x:.4f}" if x is not None else "" for x in (s.val_loss, best)]
        values = (shortened(r.job.values.get(key, "")) for key in sweep.swept)
        rows.append((r.job.name, *values, s.state, str(s.steps[0] or ""), *losses, f"{seconds:.1f}" if seconds else ""))
    return rows


def trials(sweep: Sweep) -> Rows:
    """What each trial came to; no rows without any."""
    rows: Rows = [(*sweep.keys, "val/loss of the trial", "")]
    chosen = {c.values for c in sweep.ranked}
    for r in sweep.trials:
        values, loss = tuple(r.job.values.get(key, "") for key in sweep.keys), r.status.val_loss
        rows.append((*map(shortened, values), f"{loss:.4f}" if loss else r.status.state, "chosen" * (values in chosen)))
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


def command_of(sweep: Sweep) -> str:
    """The command that runs this sweep again."""
    if not sweep.command:
        return "# started by another launcher, which recorded no command"
    return f"{command('train')} {shlex.join(sweep.command)}"
