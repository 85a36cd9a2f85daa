"""A walk in the terminal: the same story as the page's, a table a matrix."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headscope.walkthrough.step import Answered, Matrix, Step, Walk, WalkResult

MOST = 8  #: columns and rows of a matrix that are shown; of more, the first 6 and the last
NARROWEST = 80  #: a number is never cut, so narrower terminals wrap
READABLE = 100  #: width of running text


def show(console: Console, walk: Walk, seed: int | None, told: WalkResult, changes: Sequence[Answered | None]) -> None:
    """Prints every step, then the mistakes that people make, then the questions."""
    console.width = max(console.width, NARROWEST)
    if told.about:
        console.print(Text(told.about), soft_wrap=True)
    console.print(Text.assemble((walk.name, "bold"), "" if seed is None else f"  seed {seed}"))
    _say(console, told.question, "bold")
    for i, (step, change) in enumerate(zip(told.steps, changes, strict=True), 1):
        console.print(Text.assemble((f"\n{i}. {step.title}", "bold cyan")))
        _step(console, step, change)
    _say(console, "\nCommon mistakes", "bold cyan")
    for mistake in told.mistakes:
        _say(console, f"- {mistake.title}. {mistake.text}")
    _say(console, "\nCan you answer these?", "bold cyan")
    for i, (question, _) in enumerate(told.checks, 1):
        _say(console, f"{i}. {question}")
    _say(console, "\nAnswers", "bold cyan")
    for i, (_, answer) in enumerate(told.checks, 1):
        _say(console, f"{i}. {answer}")


def _step(console: Console, step: Step, change: Answered | None) -> None:
    _say(console, step.question, "bold")
    _say(console, step.text)
    console.print(Text(f"\n    {step.formula}"))
    for line in step.source.splitlines():
        console.print(Text(f"    {line}", "dim"))
    for matrix in step.matrices:
        symbol = f"{matrix.symbol}  " * (matrix.symbol != matrix.title)
        console.print(Text.assemble((f"\n{symbol}{matrix.title}", "bold"), (f"   shape {matrix.form}", "dim")))
        console.print(table(matrix))
    _say(console, f"\nNotice: {step.notice}")
    if change:
        _say(console, f"Change: {change.ask}")
        console.print(Text(f"    {change.command}"), soft_wrap=True)
        _say(console, change.answer)


def table(matrix: Matrix) -> Table:
    """A matrix, with an ellipsis for what does not fit."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), collapse_padding=True, pad_edge=False)
    grid.add_column("", no_wrap=True, max_width=20, style="cyan")
    columns = _kept(len(matrix.header), matrix.whole)
    for j in columns:
        grid.add_column(Text("…" if j is None else matrix.header[j]), justify="right", no_wrap=True)
    if matrix.notes:
        grid.add_column("", style="dim")
    cells = matrix.cells
    for i in _kept(len(matrix.rows), matrix.whole or len(matrix.rows) <= 2 * MOST):
        row = ["⋮" if i is None else "…" if j is None else cells[i][j] for j in columns]
        name, note = ("⋮", "") if i is None else (matrix.rows[i], matrix.notes[i] if matrix.notes else "")
        grid.add_row(*map(Text, (name, *row, *([note] if matrix.notes else []))))
    return grid


def _kept(n: int, whole: bool) -> list[int | None]:
    """Which of n rows or columns are shown; None is the ellipsis."""
    return list(range(n)) if whole or n <= MOST else [*range(MOST - 2), None, n - 1]


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), width=min(console.width, READABLE))
