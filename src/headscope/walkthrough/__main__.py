"""`python -m headscope.walkthrough [NAME] [--seed N] [--out DIR]`; without a name, the list."""

import argparse
from pathlib import Path

import torch
from rich.console import Console

from headscope.errors import UserError
from headscope.installed import command
from headscope.shell import Parser, run
from headscope.walkthrough import causal_head, fox, friends, page, part4, terminal, toy

WALKS = {walk.name: walk for walk in (toy.WALK, friends.WALK, fox.WALK, causal_head.WALK, part4.WALK)}
SEEDS = 2**32  #: what NumPy and PyTorch both take


class _Console(Console):
    """One whose reader, `head` say, may leave early."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog=command("walk"), description="A small system, step by step.")
    parser.add_argument("name", nargs="?", help=f"which: {', '.join(WALKS)}; none lists them")
    parser.add_argument("--seed", help="a whole number from 0; the document's own where it has one")
    parser.add_argument("--out", help="a folder for pictures and a page")
    parser.add_argument("--sentence", action="append", help="fox only: a sentence in place of its own; may be repeated")
    return parser.parse_args(argv)


def walk(argv: list[str] | None = None) -> None:
    """Runs what the command line asks for.

    Raises:
        UserError: something on it cannot be used.
    """
    given, console = _arguments(argv), _Console(highlight=False)
    if given.name is None:
        if given.seed or given.out or given.sentence:
            raise UserError(f"which walk? the name is missing; there are {', '.join(WALKS)}")
        for walk in WALKS.values():
            console.print(f"{walk.name:<12} {walk.summary}", soft_wrap=True, markup=False)
        return
    if given.name not in WALKS:
        raise UserError(f"there is no walk {given.name!r}; there are {', '.join(WALKS)}")
    chosen = WALKS[given.name]
    if given.sentence and chosen is not fox.WALK:
        raise UserError(f"{chosen.name} has sentences of its own; only fox takes --sentence")
    if given.out == "":
        raise UserError("--out is empty; give it the name of a folder")
    seed = chosen.seed if given.seed is None else _seed(given.seed)
    told = chosen.tell(seed, given.sentence) if given.sentence else chosen.tell(seed)
    written = page.write(chosen, seed, told, Path(given.out)) if given.out is not None else None
    terminal.show(console, chosen, seed, told)
    if written:
        console.print(f"\nthe page, beside its pictures: {written}", soft_wrap=True, markup=False)


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
