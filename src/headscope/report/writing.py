"""Writes the report of a sweep: which combination is best, by how much, and whether the difference could be chance.

The report depends only on the files of the sweep's jobs.
"""

from pathlib import Path

import numpy as np

from headscope.files import write_atomically
from headscope.installed import command
from headscope.render.figures import save, svg
from headscope.render.pages import render_page
from headscope.report import tables
from headscope.report.charts import charts
from headscope.report.results import Combination, Sweep
from headscope.report.statistics import MAX_SEEDS, differences, seeds_needed
from headscope.shell import shell_command

LONGER_CONTEXTS_NOTE = (
    "Each column gives the loss on the same targets with that number of context tokens: mean ± standard deviation over"
    " seeds. “Worse than” lists the ranks of the combinations whose loss at the longest context is significantly lower,"
    " by the test of the ranking. Only rows “as trained” are compared, because the other rows use the same runs."
)
ROLES_NOTE = (
    "“Step” is the first validation step at which a head was confirmed in the role: mean and standard deviation over"
    " the seeds in which the role formed. “Later than” lists the ranks of the combinations in which the role formed"
    " significantly earlier, by the test of the ranking. Only combinations in which all seeds formed the role"
    " are compared."
)
HEADS_NOTE = (
    "“Cost” is the sum of the costs of all heads whose ablation raises the loss by more than the noise. Each of these"
    " heads is ablated alone, and its cost is in nats per token. The last columns are shares of this cost, weighted by"
    " the cost of each head. Each head has two rules that predict its attention. The shares are what their place,"
    " structure, identity and content terms recover of the cost, and what stays unexplained. All numbers are means ±"
    " standard deviations over the runs whose heads are described. No test compares the combinations here."
)
CONFIRMED_NOTE = (
    "Each column gives the number of heads per run that are confirmed in the role at the end of training: mean ±"
    " standard deviation over the runs whose heads are described. No test compares the combinations here."
)
TRIALS_NOTE = "Each trial is one run with its own seed, used only to choose a value. “Jobs” also lists the trials."
UNKNOWN_COMMAND = "# not recorded: the sweep was started by another launcher"
MAX_LINES = 10  #: maximum number of rows of the ranking, and of sentences, in the terminal


def write_report(folder: Path) -> str:
    """Writes the report, and returns its warnings, ranking, findings and file names as text for the terminal.

    Writes `report.html`, `report.md`, `report.tex`, `runs.csv`, and each figure as PNG and PDF in `figures/`. Raises
    `UserError` if the folder contains no sweep or cannot be written to, and `RunFailed` if the disk is full.
    """
    sweep = Sweep(folder)
    figures, sentences, rows = charts(sweep), findings(sweep), tables.ranking(sweep)
    sections: list[tuple[str, str, tables.Rows]] = [
        ("Each choice alone", "Means over all values of the other swept keys.", tables.means_by_value(sweep)),
        ("Beyond the trained context", LONGER_CONTEXTS_NOTE, tables.longer_contexts(sweep)),
        ("When roles formed", ROLES_NOTE, tables.roles_formed(sweep)),
        ("Which combinations grow which heads", HEADS_NOTE, tables.heads_grown(sweep)),
        ("Confirmed roles", CONFIRMED_NOTE, tables.roles_confirmed(sweep)),
        ("Trials", TRIALS_NOTE, tables.trials(sweep)),
        ("Did not complete", "", tables.incomplete_jobs(sweep)),
        ("Jobs", "", tables.jobs(sweep)),
    ]
    values = {
        "title": folder.resolve().name,
        "summary": sweep.state_line(),
        "warnings": sweep.warnings(),
        "findings": sentences,
        "caption": f"Final validation loss in {sweep.unit}: mean and standard deviation over seeds. “Worse than” lists"
        " the ranks of the combinations that are significantly better.",
        "ranking": rows,
        "assumptions": assumptions(sweep),
        "figures": [svg(figure) for figure in figures.values()],
        "sections": [section for section in sections if len(section[2]) > 1],
        "command": f"{command('train')} {shell_command(sweep.command)}" if sweep.command else UNKNOWN_COMMAND,
        "fixed": list(sweep.fixed_settings().items()),
    }
    for name in ("report.html", "report.md", "report.tex"):
        write_atomically(folder / name, render_page(name, **values).encode())
    write_atomically(folder / "runs.csv", tables.runs_csv(sweep).encode())
    for name, figure in figures.items():
        save(figure, folder / "figures" / name)
    widths = [max(map(len, column)) for column in zip(*rows[: MAX_LINES + 1], strict=True)]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows[: MAX_LINES + 1]]
    table += [f"… and {len(rows) - 1 - MAX_LINES} more"] if len(rows) - 1 > MAX_LINES else []
    files = f"report: {folder}/report.html, and in the same folder report.md, report.tex, runs.csv and figures/"
    return "\n".join([*sweep.warnings(), *([*table, ""] if rows[1:] else []), *sentences[:MAX_LINES], "", files])


def findings(sweep: Sweep) -> list[str]:
    """Returns a sentence about the best combination, and one about each comparison with it."""
    if not sweep.ranked:
        plausible = " with a plausible loss" if sweep.implausible else ""
        return [f"No job has completed{plausible}, so there is nothing to rank."]
    copies = len(sweep.completed) - len(sweep.samples)
    found = [f"Omitted: repeated runs with the combination and seed of another run ({copies})."] if copies else []
    best, *others = sweep.ranked
    if not others:
        return [*found, "Only one combination completed, so there is nothing to compare."]
    if sweep.incomparable:
        return [*found, "The losses are not comparable, so the combinations are not compared."]
    if best.seeds == 1:
        why = "it ran with only one seed, so the difference may be chance; also sweep over seed=1,2,3"
        return [*found, f"{best.name} has the lowest loss, but {why}."]
    found.append(f"{best.name} has the lowest loss.")
    _, margins = differences([c.losses for c in sweep.ranked])
    for c, margin in zip(others, margins[0, 1:].tolist(), strict=True):
        if c.seeds > 1:
            found.append(_comparison(best, c, margin))
            if c is others[0] and c.mean - best.mean <= margin:
                found.append(_seeds_to_distinguish(sweep, best, c))
    single = "; ".join(c.name for c in others if c.seeds == 1)
    return [*found, f"Not compared, because one seed does not show the noise: {single}."] if single else found


def _comparison(best: Combination, other: Combination, margin: float) -> str:
    difference, n, m = other.mean - best.mean, other.seeds, best.seeds
    seeds = f"{n} seeds each" if n == m else f"{n} and {m} seeds"
    interval = f"95% interval {difference - margin:+.4f} to {difference + margin:+.4f}, {seeds}"
    if difference > margin:
        return f"{other.name} is worse than the best by {difference:.4f} ({interval})."
    noise = f"a difference of {difference:.4f} is within the noise"
    return f"{other.name} is not distinguishable from the best: {noise} ({interval})."


def _seeds_to_distinguish(sweep: Sweep, best: Combination, second: Combination) -> str:
    deviations = np.concatenate([c.losses - c.mean for c in sweep.ranked])
    pooled = float(np.sqrt((deviations**2).sum() / (len(deviations) - len(sweep.ranked))))
    difference, tested = second.mean - best.mean, sum(c.seeds > 1 for c in sweep.ranked)
    needed = seeds_needed(difference, pooled, tested, tried=max(best.seeds, second.seeds))
    return (
        f"Distinguishing these two with 80% power would take {f'about {needed}' if needed else f'over {MAX_SEEDS}'}"
        f" seeds of each, if the measured difference ({difference:.4f}) and standard deviation over seeds"
        f" ({pooled:.4f}) are the true ones."
    )


def assumptions(sweep: Sweep) -> str:
    """Returns an explanation of the test that decides on "worse", or an empty string if nothing was tested."""
    tested = sum(c.seeds > 1 for c in sweep.ranked)
    if tested < 2 or sweep.incomparable:
        return ""
    return (
        "A combination is called worse if the difference exceeds two margins: the Tukey–Kramer margin, which assumes"
        " equal variances of all combinations, and Welch's margin, which does not. The chance of any false"
        f" difference among all pairs of the {tested} combinations with two or more seeds is about 5%. Both margins"
        " assume independent seeds and roughly normal losses. The result holds only for this data and number of steps."
    )
