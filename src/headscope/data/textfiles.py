"""The user's own text: one file, or the text files of a folder.

The ids of a text that does not fit in memory are written once to an array on disk. Shapes: N tokens.
"""

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor

from headscope.data.corpus import Split, TextSource, TokenizerName, VocabSize
from headscope.data.decoding import NotText, Unreadable, file_pieces, printable, read_text
from headscope.data.tokenizers import Tokenizer
from headscope.data.tokenizers.base import between_tokens, count, smallest_dtype
from headscope.errors import UserError, not_written
from headscope.files import BESIDE, read_json, write_atomically
from headscope.shell import console

log = logging.getLogger(__name__)

LARGE = 64_000_000  #: bytes; for text of this size or larger, the ids are kept on disk instead of in memory
FEW = 3  #: number of file names that a message lists
ABANDONED = 600  #: seconds without a write, after which an incomplete array is assumed to come from a killed process


class TextFiles(TextSource):
    """A text file, or a folder whose text files are sorted by path and joined with newlines.

    The ids of large texts are stored in the subfolder `packed` of `data_dir`.
    """

    def __init__(
        self,
        path: str,
        tokenizer: TokenizerName = "char",
        vocab_size: VocabSize = 1024,
        data_dir: str = "data",
        split: Split = "last",
    ) -> None:
        super().__init__(tokenizer, vocab_size, split)
        if not path:
            raise UserError("data.path is empty; set it to a text file or a folder of text files")
        self.path, self.packed = Path(path), Path(data_dir) / "packed"
        self.name = printable(self.path.name) if self.path.name else "text"

    @cached_property
    def files(self) -> list[Path]:
        """The file, or the text files in the folder; the folder is listed only once."""
        return text_files_at(self.path, self.packed)

    def encode(self, tokenizer: Tokenizer | type[Tokenizer]) -> tuple[Tokenizer, Tensor, str]:
        if sum(f.stat().st_size for f in self.files) < LARGE:
            return super().encode(tokenizer)
        return pack(self.files, self.packed, tokenizer, self.vocab_size)

    def read(self) -> str:
        return "\n".join(map(read_text, self.files))


def text_files_at(path: Path, excluded: Path) -> list[Path]:
    """Returns the file at a path, or the text files in a folder, sorted by path.

    Skipped files are logged with the reason. The folder `excluded`, which has Headscope's own files, is not listed.
    Raises `UserError` if the path does not exist, or contains no text in a supported encoding.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as e:
        problem = "does not exist" if isinstance(e, FileNotFoundError) else f"could not be read: {e.strerror}"
        raise UserError(f"data.path={printable(path)} {problem}; use a text file or a folder of text files") from e
    if not is_folder:
        return [path]
    left_out: dict[str, list[Path]] = {"hidden": [], "not text": [], "unreadable": []}
    files = []
    for file in sorted(_visible_files(path, excluded, left_out)):
        try:
            if not file.is_file():
                raise Unreadable  # a socket, a pipe that would block, or a broken link
            next(file_pieces(file))
            files.append(file)
        except NotText:
            left_out["not text"].append(file)
        except (Unreadable, OSError):
            left_out["unreadable"].append(file)
    parts = []
    for reason, paths in left_out.items():
        names = [printable(p.relative_to(path)) for p in paths[:FEW]] + ["…"] * (len(paths) > FEW)
        parts += [f"{len(paths)} {reason} ({', '.join(names)})"] if paths else []
    summary = f"; left out {', '.join(parts)}" if parts else ""
    if not files:
        advice = "add text files or choose another folder"
        raise UserError(f"data.path={printable(path)} is a folder without text files{summary}; {advice}")
    log.info("%s: reading %s%s", printable(path), count(len(files), "file"), summary)
    return files


def _visible_files(folder: Path, excluded: Path, left_out: dict[str, list[Path]]) -> Iterator[Path]:
    """Yields the files in a folder and its subfolders, except hidden ones; follows links, visiting each folder once."""

    def unreadable(error: OSError) -> None:
        left_out["unreadable"].append(Path(error.filename))

    visited = {os.path.realpath(excluded)}
    for at, folders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        real = os.path.realpath(at)
        if real in visited:  # for example, a link to a parent folder
            folders.clear()
            continue
        visited.add(real)
        left_out["hidden"] += [Path(at, name) for name in (*folders, *names) if name.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(at, name) for name in names if not name.startswith("."))


def pack(
    files: Sequence[Path], folder: Path, tokenizer: Tokenizer | type[Tokenizer], vocab_size: int
) -> tuple[Tokenizer, Tensor, str]:
    """Joins files with newlines; returns the tokenizer, the ids (N,), and the sha256 of the joined text in UTF-8.

    The ids are memory-mapped from an array in `folder`, next to its manifest. Both are named after the files and the
    tokenizer, and are reused while the files have the sizes and times in the manifest. Raises `UserError` if a file is
    not text or cannot be read, the folder cannot be written to, or a token is unknown, and `RunFailed` if the disk is
    full.
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
    ids = torch.from_file(str(array), shared=False, size=int(known["tokens"]), dtype=smallest_dtype(len(tokenizer)))
    return tokenizer, ids, str(known["sha256"])


def _write_array(
    files: Sequence[Path], array: Path, tokenizer: Tokenizer | type[Tokenizer], vocab_size: int
) -> dict[str, Any]:
    """Writes the array, with a new tokenizer if a class is given, and returns the manifest without its key `files`."""
    passes = 1 + isinstance(tokenizer, type)
    sha256, n = hashlib.sha256(), 0
    with Progress(console=console(), transient=True) as bar:
        task = bar.add_task("reading", total=passes * sum(f.stat().st_size for f in files))

        def pieces() -> Iterator[str]:
            for piece in between_tokens(join_text(files)):
                yield piece
                bar.advance(task, len(piece.encode()))

        if isinstance(tokenizer, type):
            tokenizer = tokenizer.of(pieces(), vocab_size)
        dtype = smallest_dtype(len(tokenizer))
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


def join_text(files: Sequence[Path]) -> Iterator[str]:
    """Yields the text of all files in pieces, with newlines between the files."""
    for number, path in enumerate(files):
        if number:
            yield "\n"
        yield from file_pieces(path)
