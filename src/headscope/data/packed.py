"""Text that does not fit in memory: turned into ids once, in an array on disk.

Shapes: N tokens.
"""

import codecs
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from headscope.data.atomic import write_atomically
from headscope.data.tokenizer import narrowest
from headscope.errors import RunFailed, UserError

CHUNK = 1 << 24  #: bytes read at a time
CODES = 0x110000  #: code points there are


def pack(files: Sequence[Path], folder: Path) -> tuple[list[str], Tensor, str]:
    """The characters of files joined by line ends, as an array on disk that is made once.

    The first pass finds the vocabulary, the second writes the ids. The array and its manifest lie in `folder`, named
    after the files; they are used again while the files have the sizes and times that the manifest gives.

    Args:
        files: UTF-8 text.
        folder: for the array.

    Returns:
        The vocabulary in code-point order; the ids (N,), mapped from disk; the sha256 of the joined text.

    Raises:
        UserError: a file is not UTF-8 or cannot be read, or the folder cannot be written to.
        RunFailed: the disk is full.
    """
    stamp = [[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    name = hashlib.sha256(json.dumps([s[0] for s in stamp]).encode()).hexdigest()[:16]
    array, manifest = folder / f"{name}.ids", folder / f"{name}.json"
    known = _read(manifest)
    if known.get("files") != stamp or not array.exists() or array.stat().st_size != known["bytes"]:
        known = {"files": stamp} | _build(files, array)
        write_atomically(manifest, json.dumps(known).encode())
    vocab, n = list(known["vocab"]), int(known["tokens"])
    ids = torch.from_file(str(array), shared=False, size=n, dtype=narrowest(len(vocab)))
    return vocab, ids, str(known["sha256"])


def _build(files: Sequence[Path], array: Path) -> dict[str, Any]:
    """Writes the array; returns the rest of its manifest."""
    seen = np.zeros(CODES, dtype=bool)
    sha256, n = hashlib.sha256(), 0
    size = sum(f.stat().st_size for f in files)
    with Progress(transient=True) as bar:
        task = bar.add_task("reading", total=2 * size)
        for text in chunks(files):
            content = text.encode()
            sha256.update(content)
            codes = _codes(text)
            seen[codes] = True
            n += len(codes)
            bar.advance(task, len(content))
        vocab = [chr(c) for c in np.flatnonzero(seen)]
        table = np.cumsum(seen, dtype=np.int32) - 1  # code point to id
        table = table.astype(torch.empty(0, dtype=narrowest(len(vocab))).numpy().dtype)
        beside = array.with_suffix(f".{os.getpid()}")
        try:
            array.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as f:
                for text in chunks(files):
                    f.write(table[_codes(text)].tobytes())
                    bar.advance(task, len(text))
            beside.replace(array)
        except OSError as e:
            if e.errno == errno.ENOSPC:
                raise RunFailed(f"the disk is full: {array} was not written; make room and try again") from e
            raise UserError(f"{array} cannot be written: {e.strerror}; choose another paths.data_dir") from e
        finally:
            beside.unlink(missing_ok=True)
    return {"vocab": "".join(vocab), "tokens": n, "sha256": sha256.hexdigest(), "bytes": array.stat().st_size}


def chunks(files: Sequence[Path]) -> Iterator[str]:
    """The joined text in pieces, byte-order marks left out.

    Raises:
        UserError: a file is not UTF-8.
    """
    for number, path in enumerate(files):
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        if number:
            yield "\n"
        with path.open("rb") as f:
            while content := f.read(CHUNK):
                yield _decode(decoder, content, False, path)
        yield _decode(decoder, b"", True, path)


def _decode(decoder: codecs.IncrementalDecoder, content: bytes, final: bool, path: Path) -> str:
    try:
        return decoder.decode(content, final)
    except UnicodeDecodeError as e:
        raise UserError(f"{path} is not UTF-8 text; convert it: iconv -f latin1 -t utf-8 {path.name}") from e


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _read(manifest: Path) -> dict[str, Any]:
    try:
        known = json.loads(manifest.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
