"""A walk in the terminal: a table a step."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headscope.walkthrough.step import Step, Told, Walk

MOST = 8  #: columns and rows of a matrix that are shown; of more, the first 6 and the last
NARROWEST = 80  #: a number is never cut, so narrower terminals wrap
READABLE = 100  #: width of running text


def show(console: Console, walk: Walk, seed: int, told: Told) -> None:
    """Prints every step, then the paragraph on departures."""
    console.width = max(console.width, NARROWEST)
    console.print(Text.assemble((walk.name, "bold"), f"  seed {seed}\n{walk.summary}\n"))
    for i, step in enumerate(told.steps, 1):
        console.print(Text.assemble((f"{i}. {step.title}", "bold cyan"), (f"   shape {step.form}", "dim")))
        _say(console, step.text)
        console.print(table(step), "")
    _say(console, "Where the document departs", "bold cyan")
    _say(console, told.departure)


def table(step: Step) -> Table:
    """The matrix of a step, with an ellipsis for what does not fit."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), collapse_padding=True, pad_edge=False)
    grid.add_column("", no_wrap=True, max_width=20, style="cyan")
    columns = _kept(len(step.header), step.whole)
    for j in columns:
        grid.add_column(Text("…" if j is None else step.header[j]), justify="right", no_wrap=True)
    if step.notes:
        grid.add_column("", style="dim")
    cells = step.cells
    for i in _kept(len(step.rows), step.whole or len(step.rows) <= 2 * MOST):
        row = ["⋮" if i is None else "…" if j is None else cells[i][j] for j in columns]
        name, note = ("⋮", "") if i is None else (step.rows[i], step.notes[i] if step.notes else "")
        grid.add_row(*map(Text, (name, *row, *([note] if step.notes else []))))
    return grid


def _kept(n: int, whole: bool) -> list[int | None]:
    """Which of n rows or columns are shown; None is the ellipsis."""
    return list(range(n)) if whole or n <= MOST else [*range(MOST - 2), None, n - 1]


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), width=min(console.width, READABLE))
