"""The report of a sweep: which combination is better, by how much, and whether that could be chance.

Writes `report.md` and `report.html` into the sweep's folder, of nothing but the files of its jobs.
"""

from pathlib import Path

from headscope.files import write_atomically
from headscope.report.page import markdown, page
from headscope.report.results import Sweep
from headscope.report.tables import ranking


def write_report(folder: Path) -> str:
    """Writes both files; returns the ranking, what it means, and where the files lie, for the terminal.

    Raises:
        UserError: the folder holds no sweep.
    """
    sweep = Sweep(folder)
    write_atomically(folder / "report.md", markdown(sweep).encode())
    write_atomically(folder / "report.html", page(sweep).encode())
    rows = ranking(sweep)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows[:11]]
    more = [f"… and {len(rows) - 11} more"] if len(rows) > 11 else []
    body = [*table, *more, "", *sweep.sentences[:10], ""] if len(rows) > 1 else []
    return "\n".join([*sweep.warnings(), *body, f"report: {folder}/report.html and report.md"])
