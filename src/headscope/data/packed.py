"""Text that does not fit in memory: its ids are written once to an array on disk.

Shapes: N tokens.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor

from headscope.data.decoding import file_pieces
from headscope.data.tokenizers import Tokenizer
from headscope.data.tokenizers.base import between_tokens, narrowest
from headscope.errors import not_written
from headscope.files import BESIDE, read_json, write_atomically

ABANDONED = 600  #: seconds without a write after which an incomplete array is taken to be from a killed process


def pack(
    files: Sequence[Path], folder: Path, tokenizer: Tokenizer | type[Tokenizer], vocab_size: int
) -> tuple[Tokenizer, Tensor, str]:
    """Returns the ids of files joined by newlines, mapped from an array on disk.

    The array and its manifest are in `folder`, named after the files and the tokenizer. They are used again as long as
    the files have the sizes and times in the manifest.

    Args:
        files: text files.
        folder: for the array.
        tokenizer: a tokenizer, or a class that builds one from this text.
        vocab_size: see `Tokenizer.of`.

    Returns:
        The tokenizer; the ids (N,); the sha256 of the joined text in UTF-8.

    Raises:
        UserError: a file is not text or cannot be read, the folder cannot be written to, or a token is unknown.
        RunFailed: the disk is full.
    """
    kind = tokenizer if isinstance(tokenizer, type) else type(tokenizer)
    stamp = [[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    wanted = [kind.__name__, vocab_size if isinstance(tokenizer, type) else tokenizer.arguments]
    name = hashlib.sha256(json.dumps([[s[0] for s in stamp], wanted]).encode()).hexdigest()[:16]
    array, manifest = folder / f"{name}.ids", folder / f"{name}.json"
    known = read_json(manifest)
    if known.get("files") != stamp or not array.exists() or array.stat().st_size != known["bytes"]:
        known = {"files": stamp} | _write_array(files, array, tokenizer, vocab_size)
        write_atomically(manifest, json.dumps(known).encode())
    tokenizer = kind(**known["tokenizer"])
    ids = torch.from_file(str(array), shared=False, size=int(known["tokens"]), dtype=narrowest(len(tokenizer)))
    return tokenizer, ids, str(known["sha256"])


def _write_array(
    files: Sequence[Path], array: Path, tokenizer: Tokenizer | type[Tokenizer], vocab_size: int
) -> dict[str, Any]:
    """Builds the tokenizer in a first pass over the text, if it is a class; then writes the array.

    Returns:
        The manifest without its key `files`.
    """
    passes = 1 + isinstance(tokenizer, type)
    sha256, n = hashlib.sha256(), 0
    with Progress(transient=True) as bar:
        task = bar.add_task("reading", total=passes * sum(f.stat().st_size for f in files))

        def pieces() -> Iterator[str]:
            for piece in between_tokens(joined_text(files)):
                yield piece
                bar.advance(task, len(piece.encode()))

        if isinstance(tokenizer, type):
            tokenizer = tokenizer.of(pieces(), vocab_size)
        dtype = narrowest(len(tokenizer))
        incomplete = array.with_suffix(f".{os.getpid()}{BESIDE}")
        for abandoned in array.parent.glob(f"{array.stem}.*{BESIDE}"):
            if time.time() - abandoned.stat().st_mtime > ABANDONED:
                abandoned.unlink(missing_ok=True)
        try:
            array.parent.mkdir(parents=True, exist_ok=True)
            with incomplete.open("wb") as f:
                for piece in pieces():
                    ids = tokenizer.encode(piece).to(dtype)
                    f.write(ids.numpy().tobytes())
                    sha256.update(piece.encode())
                    n += len(ids)
            incomplete.replace(array)
        except OSError as e:
            raise not_written(e, array) from e
        finally:
            incomplete.unlink(missing_ok=True)
    size = array.stat().st_size
    return {"tokenizer": tokenizer.arguments, "tokens": n, "sha256": sha256.hexdigest(), "bytes": size}


def joined_text(files: Sequence[Path]) -> Iterator[str]:
    """Yields the text of all files in pieces, with a newline between two files."""
    for number, path in enumerate(files):
        if number:
            yield "\n"
        yield from file_pieces(path)
