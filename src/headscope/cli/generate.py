"""What `generate.py` does: finds a checkpoint and a prompt, and writes."""

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import headscope
from headscope.data.sources import read_utf8
from headscope.errors import UserError
from headscope.generation.next import next_tokens
from headscope.generation.sampling import Sampling
from headscope.generation.text import opening, write_text
from headscope.render.pictures import label


@dataclass(frozen=True)
class RunsPath:
    """Where runs lie."""

    runs: str


@dataclass(frozen=True)
class GenerateConfig(Sampling):
    """What `conf/generate.yaml` composes to."""

    checkpoint: str | None = None
    prompt_file: str | None = None
    max_new_tokens: Annotated[int, Ge(1)] = 500
    num_samples: Annotated[int, Ge(1)] = 1
    show: Literal["next"] | None = None
    seed: Annotated[int, Ge(0), Lt(2**32)] = 1
    threads: Annotated[int, Ge(1)] | None = None
    paths: RunsPath = RunsPath("outputs")


def write(config: GenerateConfig, typed: str | None) -> None:
    """Text to standard output as it is made; what it is made from to standard error.

    Args:
        config: what, and how.
        typed: the prompt of the command line.

    Raises:
        UserError: no checkpoint, no readable prompt, a token that the vocabulary lacks.
    """
    prompt = find_prompt(config, typed)
    path = Path(config.checkpoint) if config.checkpoint else newest(Path(config.paths.runs))
    if config.threads:
        torch.set_num_threads(config.threads)
    model, tokenizer, about = headscope.load(path)
    start = opening(tokenizer) if prompt is None else prompt
    tokenizer.encode(start)  # says what it lacks before anything else is said
    print(f"{about['name']}, trained on {about['data']['name']}: {path}", file=sys.stderr)
    if config.show == "next":
        show_next(next_tokens(model, tokenizer, start, config.top_k or 10))
        return
    generator = torch.Generator().manual_seed(config.seed)
    for number in range(config.num_samples):
        if config.num_samples > 1:
            sys.stdout.flush()
            print(f"--- sample {number + 1} of {config.num_samples}", file=sys.stderr, flush=True)
        for piece in write_text(model, tokenizer, start, config.max_new_tokens, config, generator):
            print(piece, end="", flush=True)
        print()


def show_next(tokens: list[tuple[str, float]]) -> None:
    """A table of tokens and their probabilities on standard output."""
    table = Table("next", "probability", "", box=box.SIMPLE)
    for token, p in tokens:
        table.add_row(Text(label(token)), f"{p:.4f}", "█" * round(p * 40))
    Console().print(table)


def find_prompt(config: GenerateConfig, typed: str | None) -> str | None:
    """The prompt as typed, of the file, or of a pipe into standard input; None where there is none.

    One line end at the end of a file or pipe is dropped: editors and `echo` put it there.

    Raises:
        UserError: the file cannot be read, or is not UTF-8.
    """
    if typed is not None:
        return typed
    if config.prompt_file not in (None, "-"):
        path = Path(str(config.prompt_file))
        if not path.is_file():
            raise UserError(f"prompt_file={path} does not exist; give a UTF-8 text file, or - for standard input")
        return read_utf8(path).removesuffix("\n")
    if config.prompt_file == "-" or _piped():
        try:
            return sys.stdin.buffer.read().decode().removesuffix("\n") or None
        except UnicodeDecodeError as e:
            raise UserError("standard input is not UTF-8 text; convert it first") from e
    return None


def _piped() -> bool:
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def newest(runs: Path) -> Path:
    """The best checkpoint of the newest run in a folder.

    Raises:
        UserError: there is none.
    """
    found = list(runs.glob("**/checkpoints/best.ckpt"))
    if not found:
        raise UserError(f"no run in {runs}/ has a checkpoint; train one with make train, or name one: checkpoint=…")
    return max(found, key=lambda path: path.stat().st_mtime)
