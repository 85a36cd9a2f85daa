"""`python -m headscope.walkthrough [NAME] [--set NAME=VALUE] [--out DIR]`; alone the list, with --out all pages."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from headscope.errors import UserError
from headscope.installed import command
from headscope.shell import Parser, run
from headscope.walkthrough import causal_head, fox, friends, model, options, page, part4, terminal, toy
from headscope.walkthrough.step import Walk

WALKS = {walk.name: walk for walk in (toy.WALK, friends.WALK, fox.WALK, causal_head.WALK, part4.WALK, model.WALK)}
SEEDS = 2**32  #: what NumPy and PyTorch both take


class _Console(Console):
    """One whose reader, `head` say, may leave early."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog=command("walk"), description="A small system, step by step.")
    parser.add_argument("name", nargs="?", help=f"which: {', '.join(WALKS)}; none lists them, or with --out writes all")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the walk; may be repeated"
    )
    parser.add_argument("--seed", help="a whole number from 0; each walk has its own")
    parser.add_argument("--out", help="a folder for pictures and a page")
    parser.add_argument("--sentence", action="append", help="fox only: a sentence in place of its own; may be repeated")
    return parser.parse_args(argv)


def walk(argv: list[str] | None = None) -> None:
    """Runs what the command line asks for.

    Raises:
        UserError: something on it cannot be used.
    """
    given, console = _arguments(argv), _Console(highlight=False)
    if given.out == "":
        raise UserError("--out is empty; give it the name of a folder")
    if given.name is None:
        if given.seed or given.set or given.sentence:
            raise UserError(f"which walk? the name is missing; there are {', '.join(WALKS)}")
        return _write_all(console, Path(given.out)) if given.out else _list(console)
    if given.name not in WALKS:
        raise UserError(f"there is no walk {given.name!r}; there are {', '.join(WALKS)}")
    chosen = WALKS[given.name]
    arguments, others = options.read(chosen, given.set), []
    if given.sentence and chosen is not fox.WALK:
        raise UserError(f"{chosen.name} has sentences of its own; only fox takes --sentence")
    if given.seed is not None:
        if chosen.seed is None:
            raise UserError(f"nothing in {chosen.name} is random; it takes no --seed")
        others += ["--seed", given.seed]
    arguments["seed"] = chosen.seed if given.seed is None else _seed(given.seed)
    if given.sentence:
        arguments["sentences"] = given.sentence
        others += [word for sentence in given.sentence for word in ("--sentence", sentence)]
    _run(console, chosen, arguments, given.set, others, given.out)
    return None


def _run(
    console: Console, chosen: Walk, arguments: Mapping[str, Any], sets: list[str], others: list[str], out: str | None
) -> None:
    told = chosen.tell(**arguments)
    changes = options.answered(chosen, told, arguments, sets, others)
    written = None
    if out is not None:
        folder = Path(out)
        links = page.links(chosen, list(WALKS.values()), [], folder, told.page)
        written = page.write(chosen, arguments["seed"], told, changes, folder, links)
    terminal.show(console, chosen, arguments["seed"], told, changes)
    if written:
        console.print(f"\nthe page, beside its pictures: {written}", soft_wrap=True, markup=False)


def _list(console: Console) -> None:
    for walk in WALKS.values():
        console.print(f"{walk.name:<12} {walk.summary} · --set {options.listed(walk)}", soft_wrap=True, markup=False)


def _write_all(console: Console, folder: Path) -> None:
    """Every walk's page, each with links to all; without a checkpoint, all but that of the model."""
    told = {}
    for walk in WALKS.values():
        try:
            told[walk] = walk.tell(walk.seed)
        except UserError as e:
            if walk is not model.WALK:
                raise
            console.print(f"without the walk through your own model: {e}", soft_wrap=True, markup=False)
    model_page = next((t.page for t in told.values() if t.page), None)
    for walk, story in told.items():
        links = page.links(walk, list(WALKS.values()), list(told), folder, model_page)
        changes = options.answered(walk, story, {"seed": walk.seed}, [], [])
        console.print(str(page.write(walk, walk.seed, story, changes, folder, links)), soft_wrap=True, markup=False)


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
