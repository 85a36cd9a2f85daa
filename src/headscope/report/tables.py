"""The tables of a report, as rows of text."""

import csv
import io

import numpy as np

from headscope.config.overrides import flat
from headscope.report.heads import RULES, Head, confirmed_roles, contributions, described
from headscope.report.results import Combination, Sweep
from headscope.report.statistics import Array
from headscope.sweep.jobs import short_number

SLIDING = "loss_by_position.sliding."  #: prefix of the summary keys of losses by extension method and context length

IMPLAUSIBLE = "implausible"  #: marks runs whose losses cannot be the result of learning

Rows = list[tuple[str, ...]]  #: the first row is the header


def ranking(sweep: Sweep) -> Rows:
    """Returns one row per combination: its mean loss, and the ranks of significantly better combinations.

    The last rows are runs with implausible losses, which have no rank.
    """
    rows: Rows = [("", *sweep.keys, "val/loss", "± sd", "seeds", "worse than", "parameters", "seconds", "tokens/s")]
    for rank, (c, worse) in enumerate(zip(sweep.ranked, sweep.worse_than("val_loss"), strict=True), 1):
        means = ("parameters", "train_seconds", "tokens_per_second")
        numbers = (mean_and_sd(c.numbers(key), ",.0f")[0] for key in means)
        rows.append((str(rank), *map(short_number, c.values), *mean_and_sd(c.losses), str(c.seeds), worse, *numbers))
    for c in sweep.combinations(sweep.keys, sweep.implausible):
        losses = mean_and_sd(c.losses)
        rows.append((IMPLAUSIBLE, *map(short_number, c.values), *losses, str(c.seeds), "", "", "", ""))
    return rows


def means_by_value(sweep: Sweep) -> Rows:
    """Returns the mean loss for each value of each key; only the header if there is one key, or if there are trials."""
    keys = sweep.keys if len(sweep.keys) > 1 and not sweep.trials else []
    combinations = [(key, c) for key in keys for c in sweep.combinations([key])]
    rows = [(key, *map(short_number, c.values), *mean_and_sd(c.losses), str(c.seeds)) for key, c in combinations]
    return [("key", "value", "val/loss", "± sd", "runs"), *rows]


def longer_contexts(sweep: Sweep) -> Rows:
    """Returns one row per combination and extension method, sorted by the loss at the longest context."""
    measured = {tuple(key.removeprefix(SLIDING).rsplit(".", 1)) for key in sweep.summary_keys(SLIDING)}
    contexts = sorted({int(context) for _, context in measured})
    rows: Rows = [("", *sweep.keys, "extension", *(f"{c} tokens" for c in contexts), "worse than")]
    found = []
    for method in sorted({method for method, _ in measured}, key=lambda method: (method != "as trained", method)):
        is_compared = method == "as trained"
        worse = sweep.worse_than(f"{SLIDING}{method}.{contexts[-1]}") if is_compared else [""] * len(sweep.ranked)
        for rank, c in enumerate(sweep.ranked, 1):
            losses = [c.numbers(f"{SLIDING}{method}.{context}") for context in contexts]
            if any(map(len, losses)):
                cells = map(mean_with_sd, losses)
                last = losses[-1].mean() if len(losses[-1]) else np.inf
                row = (str(rank), *map(short_number, c.values), method, *cells, worse[rank - 1])
                found.append((last, rank, row))
    return rows + [row for *_, row in sorted(found, key=lambda row: row[:2])]


def roles_formed(sweep: Sweep) -> Rows:
    """Returns one row per role and combination: the step at which a head was first confirmed in the role."""
    rows: Rows = [("role", "", *sweep.keys, "formed", "step", "± sd", "later than")]
    for role in sorted({key.split(".")[1] for key in sweep.summary_keys("roles.")}):
        key = f"roles.{role}.step"
        for rank, (c, later) in enumerate(zip(sweep.ranked, sweep.significantly_lower(key), strict=True), 1):
            mean, deviation = mean_and_sd(c.numbers(key), ".0f")
            formed = f"{len(c.numbers(key))} of {c.seeds}"
            rows.append((role, str(rank), *map(short_number, c.values), formed, mean or "never", deviation, later))
    return rows


def heads_grown(sweep: Sweep) -> Rows:
    """Returns two rows per combination, one per rule: the summed cost of the heads, and what explains this cost."""
    found = [(rank, c, [contributions(heads) for heads in _described(c)]) for rank, c in enumerate(sweep.ranked, 1)]
    kinds = list(dict.fromkeys(kind for *_, runs in found for run in runs for kind in run.get("readable", ())))
    rows: Rows = [("", *sweep.keys, "runs", "cost", "rule", *kinds)]
    for rank, c, runs in found:
        cost = mean_with_sd(np.array([run["cost"] for run in runs]), ".3f")
        for rule in RULES if runs else ():
            shares = [np.array([run[rule][kind] for run in runs if rule in run]) for kind in kinds]
            cells = (mean_with_sd(x, ".2f") for x in shares)
            rows.append((str(rank), *map(short_number, c.values), str(len(runs)), cost, rule, *cells))
    return rows


def roles_confirmed(sweep: Sweep) -> Rows:
    """Returns one row per combination with described heads: how many heads of a run have each confirmed role."""
    found = [(rank, c, [confirmed_roles(heads) for heads in _described(c)]) for rank, c in enumerate(sweep.ranked, 1)]
    roles = sorted({role for *_, runs in found for run in runs for role in run})
    rows: Rows = [("", *sweep.keys, "runs", *roles)]
    for rank, c, runs in found:
        if roles and runs:
            counts = (mean_with_sd(np.array([run[role] for run in runs]), ".1f") for role in roles)
            rows.append((str(rank), *map(short_number, c.values), str(len(runs)), *counts))
    return rows


def _described(c: Combination) -> list[list[Head]]:
    """Returns the heads of each run of a combination in which they are described."""
    return [heads for r in c.results if (heads := described(r.summary))]


def mean_with_sd(numbers: Array, form: str = ".4f") -> str:
    """Returns the mean ± standard deviation as text; a dash if there are no numbers."""
    return " ± ".join(filter(None, mean_and_sd(numbers, form))) or "–"


def mean_and_sd(numbers: Array, form: str = ".4f") -> tuple[str, str]:
    """Returns the mean and the standard deviation as text; each is empty if there are too few numbers."""
    mean = format(numbers.mean(), form) if len(numbers) else ""
    return mean, format(numbers.std(ddof=1), form) if len(numbers) > 1 else ""


def jobs(sweep: Sweep) -> Rows:
    """Returns one row per job: its swept values, state, steps, losses and training time."""
    rows: Rows = [("job", *sweep.swept, "state", "steps", "val/loss", "best", "seconds")]
    for r in sweep.results:
        s, best, seconds = r.status, r.summary.get("best_val_loss"), r.summary.get("train_seconds")
        losses = [f"{x:.4f}" if x is not None else "" for x in (s.val_loss, best)]
        values = (short_number(r.job.values.get(key, "")) for key in sweep.swept)
        state = f"{s.state}, {IMPLAUSIBLE}" if r.why_implausible else s.state
        rows.append((r.job.name, *values, state, str(s.steps[0] or ""), *losses, f"{seconds:.1f}" if seconds else ""))
    return rows


def trials(sweep: Sweep) -> Rows:
    """Returns one row per trial, with its loss and whether its value was chosen."""
    rows: Rows = [(*sweep.keys, "val/loss of the trial", "")]
    chosen = {c.values for c in sweep.ranked}
    for r in sweep.trials:
        values, loss = tuple(r.job.values.get(key, "") for key in sweep.keys), r.status.val_loss
        loss_or_state = r.status.state if loss is None else f"{loss:.4f}" + f", {IMPLAUSIBLE}" * bool(r.why_implausible)
        rows.append((*map(short_number, values), loss_or_state, "chosen" * (values in chosen)))
    return rows


def incomplete_jobs(sweep: Sweep) -> Rows:
    """Returns one row per job that did not complete, with the reason."""
    statuses = [(r.job.name, r.status) for r in sweep.results if r.status.state not in ("completed", "pruned")]
    reasons = [(name, s.state, s.reason or "the job was stopped, or has not started") for name, s in statuses]
    return [("job", "state", "reason"), *reasons]


def runs_csv(sweep: Sweep) -> str:
    """Returns the text of a CSV file with one row per job: name, state, swept values and the numbers in its summary."""
    summaries = [
        {k: v for k, v in r.summary.items() if isinstance(v, int | float)}
        | flat({"heads": contributions(described(r.summary))})
        for r in sweep.results
    ]
    metrics = dict.fromkeys(key for row in summaries for key in row if key not in sweep.swept)
    file = io.StringIO()
    writer = csv.DictWriter(file, ["job", "state", *sweep.swept, *metrics], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for r, numbers in zip(sweep.results, summaries, strict=True):
        writer.writerow({**numbers, **r.job.values, "job": r.job.name, "state": r.status.state})
    return file.getvalue()
