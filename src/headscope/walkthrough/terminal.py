"""A walk in the terminal: the content of the page, with one table per matrix."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headscope.walkthrough.matrix import Matrix
from headscope.walkthrough.options import TriedChange
from headscope.walkthrough.step import Step, WalkResult

MAX_SHOWN = 8  #: columns and rows of a matrix; of a larger one, the first 6 and the last are shown
NARROWEST = 80  #: columns; in a narrower terminal the lines wrap, because numbers must not be cut
READABLE = 100  #: width of running text


def show(console: Console, heading: str, result: WalkResult, changes: Sequence[TriedChange | None]) -> None:
    """Prints the steps, the common mistakes, the questions and the answers."""
    console.width = max(console.width, NARROWEST)
    if result.about:
        console.print(Text(result.about), soft_wrap=True)
    _print(console, heading, "bold")
    _print(console, result.question, "bold")
    for i, (step, change) in enumerate(zip(result.steps, changes, strict=True), 1):
        _print(console, f"\n{i}. {step.title}", "bold cyan")
        _show_step(console, step, change)
    mistakes = [f"- {mistake.title}. {mistake.text}" for mistake in result.mistakes]
    questions, answers = zip(*result.checks, strict=True)
    numbered = [[f"{i}. {text}" for i, text in enumerate(texts, 1)] for texts in (questions, answers)]
    titles = ("Common mistakes", "Can you answer these?", "Answers")
    for title, lines in zip(titles, (mistakes, *numbered), strict=True):
        _print(console, f"\n{title}", "bold cyan")
        for line in lines:
            _print(console, line)


def _show_step(console: Console, step: Step, change: TriedChange | None) -> None:
    _print(console, step.question, "bold")
    _print(console, step.text)
    console.print(Text(f"\n    {step.formula}"))
    for line in step.source.splitlines():
        console.print(Text(f"    {line}", "dim"))
    for matrix in step.matrices:
        symbol = f"{matrix.symbol}  " * (matrix.symbol != matrix.title)
        console.print(Text.assemble((f"\n{symbol}{matrix.title}", "bold"), (f"   shape {matrix.form}", "dim")))
        console.print(table(matrix))
    _print(console, f"\nNotice: {step.notice}")
    if change:
        _print(console, f"Change: {change.ask}")
        console.print(Text(f"    {change.command}"), soft_wrap=True)
        _print(console, change.answer)


def table(matrix: Matrix) -> Table:
    """A matrix as a table, with an ellipsis for rows and columns that do not fit."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), collapse_padding=True, pad_edge=False)
    grid.add_column("", no_wrap=True, max_width=20, style="cyan")
    columns = _visible(len(matrix.header), matrix.whole)
    for j in columns:
        grid.add_column(Text("…" if j is None else matrix.header[j]), justify="right", no_wrap=True)
    if matrix.notes:
        grid.add_column("", style="dim")
    cells = matrix.cells
    for i in _visible(len(matrix.rows), matrix.whole or len(matrix.rows) <= 2 * MAX_SHOWN):
        row = ["⋮" if i is None else "…" if j is None else cells[i][j] for j in columns]
        name, note = ("⋮", "") if i is None else (matrix.rows[i], matrix.notes[i] if matrix.notes else "")
        grid.add_row(*map(Text, (name, *row, *([note] if matrix.notes else []))))
    return grid


def _visible(n: int, whole: bool) -> list[int | None]:
    """Which of n rows or columns are shown; None is an ellipsis."""
    return list(range(n)) if whole or n <= MAX_SHOWN else [*range(MAX_SHOWN - 2), None, n - 1]


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), width=min(console.width, READABLE))
