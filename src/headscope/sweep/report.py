"""The report of a sweep: which combination is better, by how much, and whether that could be chance.

    python -m headscope.sweep.report DIR

writes `report.md` and `report.html` into the sweep's folder, of nothing but the files of its jobs.
"""

import sys
from pathlib import Path

from headscope.data.atomic import write_atomically
from headscope.errors import Parser, UserError
from headscope.sweep.page import markdown, page
from headscope.sweep.results import Sweep
from headscope.sweep.tables import ranking


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


def main() -> int:
    """The command."""
    parser = Parser("python -m headscope.sweep.report", description="Writes the report of a sweep.")
    parser.add_argument("folder", type=Path, help="the folder that train.py -m named")
    try:
        print(write_report(parser.parse_args().folder))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
