"""Writes the report of a sweep: which combination is better, by how much, and whether that could be chance.

The report depends only on the files of the sweep's jobs.
"""

import shlex
from pathlib import Path

from headscope.files import write_atomically
from headscope.installed import command
from headscope.render.figures import save, svg
from headscope.render.pages import render_page
from headscope.report import tables
from headscope.report.charts import charts
from headscope.report.findings import assumptions, findings
from headscope.report.results import Sweep

BEYOND = (
    "The loss on the same targets with the tokens of context that the column names: mean ± standard deviation over"
    " seeds. “Worse than” compares the losses at the longest context by the rule of the ranking, and gives the"
    " ranks of the combinations that are significantly better there. Only rows “as trained” are compared; the other"
    " extension methods use the same runs."
)
ROLES = (
    "The step of the first validation with a confirmed head of the role: mean and standard deviation over the seeds in"
    " which the role formed. “Later than” gives the ranks of the combinations in which it formed significantly earlier,"
    " by the rule of the ranking; only combinations in which it formed with every seed are compared."
)
TRIALS = "One run each, with a seed of its own, used only to choose a value. Apart from here, only “Jobs” lists them."
UNKNOWN = "# started by another launcher, which recorded no command"
MOST = 10  #: rows and sentences in the terminal


def write_report(folder: Path) -> str:
    """Writes the report. Returns its warnings, ranking, findings and file names for the terminal.

    Writes `report.html`, `report.md`, `report.tex`, `runs.csv`, and each figure as PNG and PDF in `figures/`.

    Raises:
        UserError: the folder contains no sweep, or cannot be written to.
        RunFailed: the disk is full.
    """
    sweep = Sweep(folder)
    figures, sentences, rows = charts(sweep), findings(sweep), tables.ranking(sweep)
    sections: list[tuple[str, str, tables.Rows]] = [
        ("Each choice alone", "Means over all values of the other swept keys.", tables.effects(sweep)),
        ("Beyond the trained context", BEYOND, tables.beyond(sweep)),
        ("When roles formed", ROLES, tables.roles_formed(sweep)),
        ("Trials", TRIALS, tables.trials(sweep)),
        ("Did not complete", "", tables.incomplete_jobs(sweep)),
        ("Jobs", "", tables.jobs(sweep)),
    ]
    values = {
        "title": folder.resolve().name,
        "summary": sweep.state_line(),
        "warnings": sweep.warnings(),
        "findings": sentences,
        "caption": f"Final validation loss in {sweep.unit}: mean and standard deviation over seeds. “Worse than” gives"
        " the ranks of the combinations that are significantly better.",
        "ranking": rows,
        "assumptions": assumptions(sweep),
        "figures": [svg(figure) for figure in figures.values()],
        "sections": [section for section in sections if len(section[2]) > 1],
        "command": f"{command('train')} {shlex.join(sweep.command)}" if sweep.command else UNKNOWN,
        "fixed": list(sweep.fixed().items()),
    }
    for name in ("report.html", "report.md", "report.tex"):
        write_atomically(folder / name, render_page(name, **values).encode())
    write_atomically(folder / "runs.csv", tables.runs_csv(sweep).encode())
    for name, figure in figures.items():
        save(figure, folder / "figures" / name)
    table = [*_aligned(rows[: MOST + 1]), *([f"… and {len(rows) - 1 - MOST} more"] if len(rows) - 1 > MOST else []), ""]
    files = f"report: {folder}/report.html, and in the same folder report.md, report.tex, runs.csv and figures/"
    return "\n".join([*sweep.warnings(), *(table if rows[1:] else []), *sentences[:MOST], "", files])


def _aligned(rows: tables.Rows) -> list[str]:
    """Returns the lines of a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows]
