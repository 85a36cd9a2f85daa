"""`python -m headscope.walkthrough [NAME]`: runs a walk; without a name, lists all walks or writes all their pages."""

import argparse
from pathlib import Path

import torch
from rich.console import Console

from headscope.errors import UserError
from headscope.installed import command
from headscope.shell import Parser, run
from headscope.walkthrough import causal_head, fox, friends, model, options, page, part4, terminal, toy

WALKS = {walk.name: walk for walk in (toy.WALK, friends.WALK, fox.WALK, causal_head.WALK, part4.WALK, model.WALK)}
SEEDS = 2**32  #: NumPy and PyTorch both accept smaller seeds


class _Console(Console):
    """A console whose reader, such as `head`, may stop early."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    with_sentences = ", ".join(walk.name for walk in WALKS.values() if walk.takes_sentences)
    parser = Parser(prog=command("walk"), description="Goes through a small system step by step.")
    add = parser.add_argument
    add("name", nargs="?", help=f"{', '.join(WALKS)}; without a name: a list, or all pages with --out")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the walk; may be repeated")
    add("--seed", help="a whole number from 0; each walk has its own default")
    add("--out", help="a folder for pictures and a page")
    add(
        "--sentence", action="append", default=[], help=f"{with_sentences} only: replaces its sentence; may be repeated"
    )
    return parser.parse_args(argv)


def walk(argv: list[str] | None = None) -> None:
    """Runs the command.

    Raises:
        UserError: an argument cannot be used.
    """
    given, console = _arguments(argv), _Console(highlight=False)
    if given.out == "":
        raise UserError("--out is empty; give it the name of a folder")
    if given.name is None and (given.seed or given.set or given.sentence):
        raise UserError(f"which walk? the name is missing; there are {', '.join(WALKS)}")
    if given.name is not None:
        _run(console, given)
    elif given.out:
        _write_all(console, Path(given.out))
    else:
        for walk in WALKS.values():
            defaults = " ".join(options.defaults(walk))
            console.print(f"{walk.name:<12} {walk.summary} · --set {defaults}", soft_wrap=True, markup=False)


def _run(console: Console, given: argparse.Namespace) -> None:
    if given.name not in WALKS:
        raise UserError(f"there is no walk {given.name!r}; there are {', '.join(WALKS)}")
    walk = WALKS[given.name]
    arguments = options.read(walk, given.set)
    if given.sentence and not walk.takes_sentences:
        names = ", ".join(other.name for other in WALKS.values() if other.takes_sentences)
        raise UserError(f"{walk.name} has sentences of its own; only {names} takes --sentence")
    if given.seed is not None and walk.seed is None:
        raise UserError(f"nothing in {walk.name} is random; it takes no --seed")
    arguments["seed"] = seed = walk.seed if given.seed is None else _seed(given.seed)
    if given.sentence:
        arguments["sentences"] = given.sentence
    typed = [*(("--set", text) for text in given.set), *(("--sentence", text) for text in given.sentence)]
    typed += [("--seed", given.seed)] * (given.seed is not None)
    result = walk.run(**arguments)
    changes = options.try_changes(walk, result, arguments, typed)
    if given.out is not None:
        folder = Path(given.out)
        links = page.links(walk, list(WALKS.values()), [], folder, result.numbers.page)
        written = page.write(walk, page.html(walk, seed, result, changes, links), result, folder)
    terminal.show(console, walk.name if seed is None else f"{walk.name}  seed {seed}", result, changes)
    if given.out is not None:
        console.print(f"\nthe page and its pictures: {written}", soft_wrap=True, markup=False)


def _write_all(console: Console, folder: Path) -> None:
    """Writes the page of every walk, with links between them; without a checkpoint, one walk is left out."""
    results = {}
    for walk in WALKS.values():
        try:
            results[walk] = walk.run(walk.seed)
        except UserError as e:
            if not walk.needs_checkpoint:
                raise
            console.print(f"without the walk through your own model: {e}", soft_wrap=True, markup=False)
    model_page = next((result.numbers.page for result in results.values() if result.numbers.page), None)
    for walk, result in results.items():
        links = page.links(walk, list(WALKS.values()), list(results), folder, model_page)
        changes = options.try_changes(walk, result, {"seed": walk.seed}, [])
        html = page.html(walk, walk.seed, result, changes, links)
        console.print(str(page.write(walk, html, result, folder)), soft_wrap=True, markup=False)


def _seed(text: str) -> int:
    if text.isdecimal() and len(text) <= 10 and int(text) < SEEDS:
        return int(text)
    raise UserError(f"--seed {text!r} is not a whole number from 0 to {SEEDS - 1}")


def main() -> None:
    """Runs the walk that the command line names."""
    torch.set_num_threads(1)  # the matrices are small: more threads only wait for each other
    walk()


if __name__ == "__main__":
    run(main)
