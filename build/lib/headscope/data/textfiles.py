"""The user's own text: one file, or the text files of a folder."""

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from headscope.data.corpus import Corpus, Kind, TextSource, VocabSize, fitting
from headscope.data.decoding import NotText, Unreadable, file_pieces, read_text, shown
from headscope.data.packed import pack
from headscope.data.tokenizers import Tokenizer
from headscope.data.tokenizers.base import count
from headscope.errors import UserError

log = logging.getLogger(__name__)

LARGE = 64_000_000  #: bytes from which text is kept on disk, not in memory
FEW = 3  #: names in a message


class TextFiles(TextSource):
    """A text file, or a folder whose text files are joined by newlines in the order of their names.

    Args:
        path: the file or folder.
        tokenizer: what a token is.
        vocab_size: the largest vocabulary of byte pairs.
        data_dir: its subfolder `packed` keeps the ids of large text.
    """

    def __init__(
        self, path: str, tokenizer: Kind = "char", vocab_size: VocabSize = 1024, data_dir: str = "data"
    ) -> None:
        super().__init__(tokenizer, vocab_size)
        if not path:
            raise UserError("data.path is empty; give a text file or a folder of them")
        self.path, self.packed = Path(path), Path(data_dir) / "packed"
        self.name = shown(self.path.name) if self.path.name else "text"
        self._files: list[Path] | None = None

    @property
    def files(self) -> list[Path]:
        """The file, or those of the folder; chosen once."""
        if self._files is None:
            self._files = choose(self.path, self.packed)
        return self._files

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        if sum(f.stat().st_size for f in self.files) < LARGE:
            return super().load(block_size, tokenizer)
        by = tokenizer or self.kind
        by.ready()
        with fitting(self.name):
            tokenizer, ids, sha256 = pack(self.files, self.packed, by, self.vocab_size)
        return self.split(tokenizer, ids, sha256, block_size)

    def read(self) -> str:
        return "\n".join(map(read_text, self.files))


def choose(path: Path, ours: Path) -> list[Path]:
    """Returns the files to read: the one at `path`, or the text files of a folder in the order of their paths.

    Args:
        path: of the file or folder.
        ours: a folder of files that we wrote, which are no text of the user's.

    Raises:
        UserError: nothing is there, or no text, or text in another encoding.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as e:
        problem = "does not exist" if isinstance(e, FileNotFoundError) else f"could not be read: {e.strerror}"
        raise UserError(f"data.path={shown(path)} {problem}; give a text file or a folder of them") from e
    return _choose_in(path, ours) if is_folder else [path]


def _choose_in(folder: Path, ours: Path) -> list[Path]:
    """Returns the text files of a folder, and logs what was left out and why."""
    left_out: dict[str, list[Path]] = {"hidden": [], "not text": [], "unreadable": []}
    files = []
    for file in sorted(_visible(folder, ours, left_out)):
        try:
            if not file.is_file():
                raise Unreadable  # a socket, a pipe that would block, a link to nothing
            next(file_pieces(file))
            files.append(file)
        except NotText:
            left_out["not text"].append(file)
        except (Unreadable, OSError):
            left_out["unreadable"].append(file)
    summary = ", ".join(f"{len(paths)} {why} ({_first(paths, folder)})" for why, paths in left_out.items() if paths)
    summary = summary and f"; left out {summary}"
    if not files:
        raise UserError(f"data.path={shown(folder)} is a folder without text files{summary}; give some text")
    log.info("%s: reading %s%s", shown(folder), count(len(files), "file"), summary)
    return files


def _visible(folder: Path, ours: Path, left_out: dict[str, list[Path]]) -> Iterator[Path]:
    """Yields what lies below a folder and is neither a folder nor hidden. Links are followed, each folder once."""

    def unreadable(error: OSError) -> None:
        left_out["unreadable"].append(Path(error.filename))

    seen = {os.path.realpath(ours)}
    for at, folders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        real = os.path.realpath(at)
        if real in seen:  # a link back to a folder above would lead round in circles
            folders.clear()
            continue
        seen.add(real)
        left_out["hidden"] += [Path(at, name) for name in (*folders, *names) if name.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(at, name) for name in names if not name.startswith("."))


def _first(paths: Sequence[Path], folder: Path) -> str:
    """Returns the first few names of a list."""
    names = [shown(path.relative_to(folder)) for path in paths[:FEW]]
    return ", ".join(names + ["…"] * (len(paths) > FEW))
