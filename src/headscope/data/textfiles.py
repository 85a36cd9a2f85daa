"""The user's own text: one file, or the text files of a folder."""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from headscope.data.corpus import Corpus, TextSource, TokenizerName, VocabSize, naming_text
from headscope.data.decoding import NotText, Unreadable, file_pieces, printable, read_text
from headscope.data.packed import pack
from headscope.data.tokenizers import Tokenizer
from headscope.data.tokenizers.base import count
from headscope.errors import UserError

log = logging.getLogger(__name__)

LARGE = 64_000_000  #: bytes from which the ids of a text are kept on disk instead of in memory
FEW = 3  #: file names that a message lists


class TextFiles(TextSource):
    """A text file, or a folder whose text files are joined by newlines in the order of their paths.

    Args:
        path: the file or folder.
        tokenizer: splits the text into tokens.
        vocab_size: the largest vocabulary of byte pairs.
        data_dir: its subfolder `packed` keeps the ids of large text.
    """

    def __init__(
        self, path: str, tokenizer: TokenizerName = "char", vocab_size: VocabSize = 1024, data_dir: str = "data"
    ) -> None:
        super().__init__(tokenizer, vocab_size)
        if not path:
            raise UserError("data.path is empty; give a text file or a folder of them")
        self.path, self.packed = Path(path), Path(data_dir) / "packed"
        self.name = printable(self.path.name) if self.path.name else "text"
        self._files: list[Path] | None = None

    @property
    def files(self) -> list[Path]:
        """The file, or the text files of the folder; listed once."""
        if self._files is None:
            self._files = text_files_at(self.path, self.packed)
        return self._files

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        if sum(f.stat().st_size for f in self.files) < LARGE:
            return super().load(block_size, tokenizer)
        (tokenizer or self.kind).ready()
        with naming_text(self.name):
            packed = pack(self.files, self.packed, tokenizer or self.kind, self.vocab_size)
        return self.split(*packed, block_size)

    def read(self) -> str:
        return "\n".join(map(read_text, self.files))


def text_files_at(path: Path, excluded: Path) -> list[Path]:
    """Returns the file at a path, or the text files of a folder in the order of their paths.

    The files of a folder that are left out are logged, with the reason.

    Args:
        path: of the file or folder.
        excluded: a folder of our own files, which is skipped.

    Raises:
        UserError: the path does not exist, or contains no text in a known encoding.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as e:
        problem = "does not exist" if isinstance(e, FileNotFoundError) else f"could not be read: {e.strerror}"
        raise UserError(f"data.path={printable(path)} {problem}; give a text file or a folder of them") from e
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
    summary = ""
    for why, paths in left_out.items():
        if paths:
            names = [printable(p.relative_to(path)) for p in paths[:FEW]] + ["…"] * (len(paths) > FEW)
            summary += f"{', ' if summary else '; left out '}{len(paths)} {why} ({', '.join(names)})"
    if not files:
        raise UserError(f"data.path={printable(path)} is a folder without text files{summary}; give some text")
    log.info("%s: reading %s%s", printable(path), count(len(files), "file"), summary)
    return files


def _visible_files(folder: Path, excluded: Path, left_out: dict[str, list[Path]]) -> Iterator[Path]:
    """Yields the files below a folder that are not hidden. Links are followed, and each folder is visited once."""

    def unreadable(error: OSError) -> None:
        left_out["unreadable"].append(Path(error.filename))

    visited = {os.path.realpath(excluded)}
    for at, folders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        real = os.path.realpath(at)
        if real in visited:  # a link to a parent folder would lead round in circles
            folders.clear()
            continue
        visited.add(real)
        left_out["hidden"] += [Path(at, name) for name in (*folders, *names) if name.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(at, name) for name in names if not name.startswith("."))
