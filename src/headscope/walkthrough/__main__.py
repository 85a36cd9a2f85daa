"""`python -m headscope.walkthrough [NAME]`: runs a walk, or lists all walks, or writes all pages."""

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.installed import command
from headscope.shell import Parser, run
from headscope.walkthrough import causal_head, fox, friends, model, notebook, part4, toy
from headscope.walkthrough.matrix import Matrix
from headscope.walkthrough.texts import WalkResult
from headscope.walkthrough.walk import Walk

WALKS = {walk.name: walk for walk in (toy.WALK, friends.WALK, fox.WALK, causal_head.WALK, part4.WALK, model.WALK)}
SEEDS = 2**32  #: NumPy and PyTorch both accept all seeds below this number
#: A matrix with at most this many columns, and at most twice as many rows, is shown in full. Of more columns or rows,
#: only the first 6 and the last are shown.
MAX_SHOWN = 8
NARROWEST = 80  #: characters; in a narrower terminal, lines wrap, because numbers must not be cut
READABLE = 100  #: maximum width of running text, in characters


class _Console(Console):
    """A console whose output may be piped to a program that stops reading early, such as `head`."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def main() -> None:
    """Runs the walk that the command line names; raises `UserError` if an argument cannot be used."""
    torch.set_num_threads(1)  # the matrices are so small that more threads would only wait for each other
    parser = Parser(prog=command("walk"), description="Goes through a small system step by step.")
    add = parser.add_argument
    add("name", nargs="?", help=f"{', '.join(WALKS)}; without a name: lists all walks, or writes all pages to --out")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the walk; may be repeated")
    add("--seed", help="a whole number, at least 0; each walk that draws random numbers has its own default")
    add("--out", help="a folder for pictures and a page")
    add("--sentence", action="append", default=[], help="fox only: replaces its sentence; may be repeated")
    given, console = parser.parse_args(), _Console(markup=False, emoji=False, highlight=False)
    if given.out == "":
        raise UserError("--out is empty; set it to the name of a folder")
    if given.name is None and (given.seed or given.set or given.sentence):
        raise UserError(f"the name of the walk is missing; choose one of {', '.join(WALKS)}")
    if given.name is not None:
        _run(console, given)
    elif given.out:
        _write_all(console, Path(given.out))
    else:
        for walk in WALKS.values():
            console.print(f"{walk.name:<12} {walk.summary} · --set {' '.join(walk.defaults)}", soft_wrap=True)


def _run(console: Console, given: argparse.Namespace) -> None:
    if given.name not in WALKS:
        raise UserError(f"there is no walk {given.name!r}; choose one of {', '.join(WALKS)}")
    walk = WALKS[given.name]
    arguments = walk.read(given.set)
    if given.sentence and walk is not fox.WALK:
        raise UserError(f"{walk.name} takes no sentences; only {fox.WALK.name} takes --sentence")
    if given.seed is not None and walk.seed is None:
        raise UserError(f"nothing in {walk.name} is random; it takes no --seed")
    text = str(walk.seed) if given.seed is None else given.seed
    if walk.seed is not None and not (text.isdecimal() and len(text) <= 10 and int(text) < SEEDS):
        raise UserError(f"--seed {text!r} is not a whole number from 0 to {SEEDS - 1}")
    arguments["seed"] = seed = None if walk.seed is None else int(text)
    if given.sentence:
        arguments["sentences"] = given.sentence
    typed = [*(("--set", text) for text in given.set), *(("--sentence", text) for text in given.sentence)]
    typed += [("--seed", given.seed)] * (given.seed is not None)
    result = walk.try_changes(walk.run(**arguments), typed)
    pages = _write(Path(given.out), {walk: result}) if given.out else []
    _show(console, walk.name if seed is None else f"{walk.name}  seed {seed}", result)
    for written in pages:
        console.print(f"\nthe page and its pictures: {written}", soft_wrap=True)


def _write_all(console: Console, folder: Path) -> None:
    """Writes linked pages of all walks, except the walk through your own model if there is no checkpoint."""
    results = {}
    for walk in WALKS.values():
        try:
            results[walk] = walk.try_changes(walk.run(walk.seed))
        except UserError as e:
            console.print(f"the walk through your own model was skipped: {e}", soft_wrap=True)
    for written in _write(folder, results):
        console.print(str(written), soft_wrap=True)


def _write(folder: Path, results: Mapping[Walk, WalkResult]) -> list[Path]:
    """Writes each walk's page, and NAME-NN-TITLE.png for each matrix except tables; returns the paths of the pages."""
    present = [walk for walk in WALKS.values() if walk in results or (folder / walk.file).is_file()]
    model_pages = [result.numbers.page for result in results.values() if result.numbers.page]
    model_pages += [*sorted(folder.glob("model-step*.html")), *folder.glob("model.html")]
    to_model = [("the model itself", quote(Path(os.path.relpath(p, folder)).as_posix())) for p in model_pages[:1]]
    for walk, result in results.items():
        for i, matrix in enumerate((m for m in result.matrices if m.kind != "table"), 1):
            name = re.sub("[^a-z0-9]+", "-", matrix.title).strip("-")
            write_atomically(folder / f"{walk.name}-{i:02}-{name}.png", notebook.picture(matrix, matrix.title))
        links = [(other.name, "" if other is walk else other.file) for other in present]
        write_atomically(folder / walk.file, notebook.html(walk, result, links + to_model).encode())
    return [folder / walk.file for walk in results]


def _show(console: Console, heading: str, result: WalkResult) -> None:
    """Prints the steps of a walk, the common mistakes, the questions and the answers."""
    console.width = max(console.width, NARROWEST)
    if result.about:
        console.print(Text(result.about), soft_wrap=True)
    _print(console, heading, "bold")
    _print(console, result.question, "bold")
    for i, (step, change) in enumerate(zip(result.steps, result.changes, strict=True), 1):
        _print(console, f"\n{i}. {step.title}", "bold cyan")
        _print(console, step.question, "bold")
        _print(console, step.text)
        console.print(Text(f"\n    {step.formula}"))
        for line in step.source.splitlines():
            console.print(Text(f"    {line}", "dim"))
        for matrix in step.matrices:
            symbol = f"{matrix.symbol}  " * (matrix.symbol != matrix.title)
            console.print(Text.assemble((f"\n{symbol}{matrix.title}", "bold"), (f"   shape {matrix.form}", "dim")))
            console.print(_table(matrix))
        _print(console, f"\nNotice: {step.notice}")
        if change:
            _print(console, f"Change: {change.ask}")
            console.print(Text(f"    {change.command}"), soft_wrap=True)
            _print(console, change.answer)
    questions, answers = ([f"{i}. {text[j]}" for i, text in enumerate(result.checks, 1)] for j in (0, 1))
    mistakes = [f"- {title}. {text}" for title, text in result.mistakes]
    for title, lines in (("Common mistakes", mistakes), ("Can you answer these?", questions), ("Answers", answers)):
        _print(console, f"\n{title}", "bold cyan")
        for line in lines:
            _print(console, line)


def _table(matrix: Matrix) -> Table:
    """Returns a matrix as a table, with an ellipsis for rows and columns that do not fit."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), collapse_padding=True, pad_edge=False)
    grid.add_column("", no_wrap=True, max_width=20, style="cyan")
    show_all = matrix.show_all or bool(matrix.notes)
    columns = _visible(len(matrix.header), show_all)
    for j in columns:
        grid.add_column(Text("…" if j is None else matrix.header[j]), justify="right", no_wrap=True)
    if matrix.notes:
        grid.add_column("", style="dim")
    cells = matrix.cells
    for i in _visible(len(matrix.rows), show_all or len(matrix.rows) <= 2 * MAX_SHOWN):
        row = ["⋮" if i is None else "…" if j is None else cells[i][j] for j in columns]
        note = matrix.notes[i : i + 1] if i is not None else []
        grid.add_row(*map(Text, ("⋮" if i is None else matrix.rows[i], *row, *note)))
    return grid


def _visible(n: int, show_all: bool) -> list[int | None]:
    """Returns the indices of the rows or columns to show, out of n; None means an ellipsis."""
    return list(range(n)) if show_all or n <= MAX_SHOWN else [*range(MAX_SHOWN - 2), None, n - 1]


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), width=min(console.width, READABLE))


if __name__ == "__main__":
    run(main)
