"""The files of a sweep's report: which combination is better, by how much, and whether that could be chance.

Written into the sweep's folder from nothing but the files of its jobs.
"""

import shlex
from pathlib import Path

from headscope.files import write_atomically
from headscope.installed import command
from headscope.render.figures import save, svg
from headscope.render.pages import render_page
from headscope.report.charts import charts
from headscope.report.findings import assumptions, findings
from headscope.report.results import Sweep
from headscope.report.tables import Rows, beyond, effects, failed, jobs, ranking, roles_formed, runs_csv, trials

BEYOND = (
    "The loss on the same targets, each with exactly as many tokens of context as the column says: mean ± standard"
    " deviation over seeds. “Worse than”, at the longest context, gives the places of the combinations that are clearly"
    " better there, each going on as it was trained, by the rule of the ranking; other ways to go on use the same runs"
    " and are not compared."
)
ROLES = (
    "The step at which the first head with a confirmed role was seen: mean and standard deviation over the seeds in"
    " which one was. “Later than” gives the places, in the ranking, of combinations in which it formed clearly earlier;"
    " only combinations in which it formed with every seed are compared, by the rule of the ranking."
)
TRIALS = "One run each, with a seed of its own, by which a value was chosen. They are in no other table but the last."
UNKNOWN = "# started by another launcher, which recorded no command"
MOST = 10  #: rows and sentences in the terminal


def write_report(folder: Path) -> str:
    """Writes the report; returns the warnings, the ranking, what it means and where the files are, for the terminal.

    Writes `report.html`, `report.md`, `report.tex`, `runs.csv`, and each figure as PNG and PDF in `figures/`.

    Raises:
        UserError: there is no sweep in the folder, or it cannot be written to.
        RunFailed: the disk is full.
    """
    sweep = Sweep(folder)
    figures, sentences, rows = charts(sweep), findings(sweep), ranking(sweep)
    sections: list[tuple[str, str, Rows]] = [
        ("Each choice alone", "Means over everything else that was swept.", effects(sweep)),
        ("Beyond the trained context", BEYOND, beyond(sweep)),
        ("When roles formed", ROLES, roles_formed(sweep)),
        ("Trials", TRIALS, trials(sweep)),
        ("Did not complete", "", failed(sweep)),
        ("Jobs", "", jobs(sweep)),
    ]
    values = {
        "title": folder.resolve().name,
        "summary": sweep.state_line(),
        "warnings": sweep.warnings(),
        "findings": sentences,
        "caption": f"Final validation loss in {sweep.unit}: mean and standard deviation over seeds. “Worse than” gives"
        " the places of the combinations that are clearly better.",
        "ranking": rows,
        "assumptions": assumptions(sweep),
        "figures": [svg(figure) for figure in figures.values()],
        "sections": [section for section in sections if len(section[2]) > 1],
        "command": f"{command('train')} {shlex.join(sweep.command)}" if sweep.command else UNKNOWN,
        "fixed": list(sweep.fixed().items()),
    }
    for name in ("report.html", "report.md", "report.tex"):
        write_atomically(folder / name, render_page(name, **values).encode())
    write_atomically(folder / "runs.csv", runs_csv(sweep).encode())
    for name, figure in figures.items():
        save(figure, folder / "figures" / name)
    table = [*_aligned(rows[: MOST + 1]), *([f"… and {len(rows) - 1 - MOST} more"] if len(rows) - 1 > MOST else []), ""]
    files = f"report: {folder}/report.html, and beside it report.md, report.tex, runs.csv and figures/"
    return "\n".join([*sweep.warnings(), *(table if rows[1:] else []), *sentences[:MOST], "", files])


def _aligned(rows: Rows) -> list[str]:
    """The lines of a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows]
