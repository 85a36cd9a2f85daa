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

ABANDONED = 600  #: seconds without a write after which an incomplete array is that of a killed process


def pack(
    files: Sequence[Path], folder: Path, by: Tokenizer | type[Tokenizer], vocab_size: int
) -> tuple[Tokenizer, Tensor, str]:
    """Returns the ids of files joined by newlines, mapped from an array on disk that is made once.

    The first pass over the text builds the tokenizer, the second writes the ids. The array and its manifest are in
    `folder`, named after the files and the tokenizer; they are used again while the files have the sizes and times in
    the manifest.

    Args:
        files: text files.
        folder: for the array.
        by: a tokenizer, or a class that builds one from this text.
        vocab_size: see `Tokenizer.of`.

    Returns:
        The tokenizer; the ids (N,); the sha256 of the joined text in UTF-8.

    Raises:
        UserError: a file is not text or cannot be read, the folder cannot be written to, or a token is unknown.
        RunFailed: the disk is full.
    """
    kind = by if isinstance(by, type) else type(by)
    stamp = [[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    wanted = [kind.__name__, vocab_size if isinstance(by, type) else by.arguments]
    name = hashlib.sha256(json.dumps([[s[0] for s in stamp], wanted]).encode()).hexdigest()[:16]
    array, manifest = folder / f"{name}.ids", folder / f"{name}.json"
    known = read_json(manifest)
    if known.get("files") != stamp or not array.exists() or array.stat().st_size != known["bytes"]:
        known = {"files": stamp} | _build(files, array, by, vocab_size)
        write_atomically(manifest, json.dumps(known).encode())
    tokenizer = kind(**known["tokenizer"])
    ids = torch.from_file(str(array), shared=False, size=int(known["tokens"]), dtype=narrowest(len(tokenizer)))
    return tokenizer, ids, str(known["sha256"])


def _build(files: Sequence[Path], array: Path, by: Tokenizer | type[Tokenizer], vocab_size: int) -> dict[str, Any]:
    """Writes the array; returns the rest of its manifest."""
    sha256, n = hashlib.sha256(), 0
    with Progress(transient=True) as bar:
        task = bar.add_task("reading", total=2 * sum(f.stat().st_size for f in files))

        def first_pass() -> Iterator[str]:
            for piece in between_tokens(joined(files)):
                content = piece.encode()
                sha256.update(content)
                yield piece
                bar.advance(task, len(content))

        tokenizer = by.of(first_pass(), vocab_size) if isinstance(by, type) else by
        dtype = narrowest(len(tokenizer))
        beside = array.with_suffix(f".{os.getpid()}{BESIDE}")
        for left in array.parent.glob(f"{array.stem}.*{BESIDE}"):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink(missing_ok=True)
        try:
            array.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as f:
                for piece in first_pass() if tokenizer is by else between_tokens(joined(files)):
                    ids = tokenizer.encode(piece).to(dtype)
                    f.write(ids.numpy().tobytes())
                    n += len(ids)
                    bar.advance(task, len(piece))
            beside.replace(array)
        except OSError as e:
            raise not_written(e, array) from e
        finally:
            beside.unlink(missing_ok=True)
    return {
        "tokenizer": tokenizer.arguments,
        "tokens": n,
        "sha256": sha256.hexdigest(),
        "bytes": array.stat().st_size,
    }


def joined(files: Sequence[Path]) -> Iterator[str]:
    """Yields the text of all files in pieces, a newline between two files."""
    for number, path in enumerate(files):
        if number:
            yield "\n"
        yield from file_pieces(path)
