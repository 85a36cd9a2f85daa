"""Implements generate.py: finds a checkpoint and a prompt, then writes text or shows the model."""

import select
import sys
from importlib import import_module
from pathlib import Path

import torch

from headscope import checkpoint
from headscope.config.generate_keys import GenerateConfig
from headscope.data.decoding import decode_stream, read_text
from headscope.errors import UserError
from headscope.generation.text import prompt_ids, write_texts
from headscope.installed import command
from headscope.run.folder import RunFolder
from headscope.run.newest import newest, newest_in_errors
from headscope.shell import own_standard_input, printable
from headscope.show.request import ShowRequest

PATIENCE = 1.0  #: seconds to wait for standard input before printing a hint


def write(config: GenerateConfig, typed: str | None) -> None:
    """Writes text to standard output, token by token, or shows the model; names the run on standard error."""
    prompt = find_prompt(config, typed)
    runs = Path(config.paths.runs)
    path = checkpoint.find(config.checkpoint) if config.checkpoint else newest(runs)
    if path is None:
        train = f"{command('train')} experiment=quickstart"
        raise UserError(f"no run in {runs}/ has a checkpoint; train a model with {train}, or add checkpoint=…")
    if config.threads:
        torch.set_num_threads(config.threads)
    start = prompt or ""
    with newest_in_errors(None if config.checkpoint else path):
        model, tokenizer, about = checkpoint.load(path)
        prompt_ids(tokenizer, start)  # an unknown token is reported before anything else is printed
    print(f"{about['name']}, trained on {about['data']['name']}: {path}", file=sys.stderr)
    if config.show:
        out = Path(config.out) if config.out else None
        run = RunFolder(path.parent.parent)
        files = run.film_file, run.descriptions_file
        request = ShowRequest(model, tokenizer, start, path, about, config.top_k, out, *files)
        import_module(f"headscope.show.{config.show}").show(request)
        return
    generators = [torch.Generator().manual_seed(config.seed + i) for i in range(config.num_samples)]
    texts = write_texts(model, tokenizer, start, config.max_new_tokens, config, generators)
    for number, pieces in enumerate(texts, 1):
        if config.num_samples > 1:
            sys.stdout.flush()
            print(f"--- sample {number} of {config.num_samples}", file=sys.stderr, flush=True)
        for piece in pieces:
            print(printable(piece) if sys.stdout.isatty() else piece, end="", flush=True)
        print()


def find_prompt(config: GenerateConfig, typed: str | None) -> str | None:
    """Returns the prompt: as typed, from a file, or from standard input; None if there is no prompt.

    One line break at the end of a file or of standard input is removed, because editors and `echo` add it.
    """
    if typed is not None:
        if config.prompt_file is not None:
            raise UserError(f"prompt=… and prompt_file={config.prompt_file} are two prompts; use one")
        return typed
    if config.prompt_file not in (None, "-"):
        path = Path(str(config.prompt_file))
        if not path.is_file():
            reason = "is not a file" if path.exists() else "does not exist"
            raise UserError(f"prompt_file={path} {reason}; use a UTF-8 text file, or - for standard input")
        return read_text(path).removesuffix("\n")
    if config.prompt_file != "-" and not own_standard_input():
        return None
    if not (sys.platform == "win32" or select.select([0], [], [], PATIENCE)[0]):
        print("reading the prompt from standard input; end it with Ctrl-D, or use prompt=…", file=sys.stderr)
    with open(0, "rb", closefd=False) as f:
        return "".join(decode_stream(f, "standard input")).removesuffix("\n") or None
