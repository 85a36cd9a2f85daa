"""Examples, one a line: names, molecules, commands.

Shapes: N tokens, L lines, B windows in a batch, T positions.
"""

import hashlib
import logging
import re

import torch
from torch import Tensor

from headscope.data.corpus import Corpus, Source, fitting
from headscope.data.textfiles import TextFiles
from headscope.data.tokenizers import CharTokenizer, LineTokenizer, Tokenizer
from headscope.data.tokenizers.base import count, tokenize
from headscope.data.windows import IGNORE, Batch, CutWindows
from headscope.errors import UserError

log = logging.getLogger(__name__)

ENDS = re.compile(r"\r\n|\n|\r")  #: of a line; further separators of Unicode are characters like others


class Lines(Source):
    """Each line of a text is an example by itself, character by character, with a newline before and behind it.

    Lines are shuffled, always in the same way, before they are split: every tenth validates. The newline behind a line
    is a token to predict, and what fills up a window behind it is not. Blank lines are left out.

    Args:
        path: a text file, or a folder of them.
    """

    def __init__(self, path: str) -> None:
        self.files = TextFiles(path)
        self.name = self.files.name

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        every = ENDS.split(self.files.read())
        lines = [line for line in every if line.strip()]
        self._check(every, lines, block_size)
        text = "\n".join(["", *lines, ""])
        if tokenizer is not None and (not isinstance(tokenizer, CharTokenizer) or "\n" not in tokenizer.vocab):
            raise UserError(
                f"data=lines does not fit the checkpoint's tokenizer: it needs characters, a newline among them;"
                f" use a checkpoint that was trained on characters, or train {self.name} without one"
            )
        with fitting(self.name):
            tokenizer, ids = tokenize(text, LineTokenizer(vocab=tokenizer.vocab) if tokenizer else LineTokenizer)
        borders = (ids == tokenizer.encode("\n")).nonzero().flatten()  # (L + 1,)
        order = torch.randperm(len(lines), generator=torch.Generator().manual_seed(0))
        border = len(lines) - max(len(lines) // 10, 1)
        train, val = (LineWindows(ids, borders, part) for part in (order[:border], order[border:]))
        seen = {lines[i] for i in order[:border].tolist()}
        again = sum(lines[i] in seen for i in order[border:].tolist())
        note = f"{again:,} of {count(len(val), 'validation line')} are among the training lines too" if again else ""
        blank = len(every) - len(lines) - (not every[-1])  # what follows the last newline is no line
        log.info(
            f"{self.name}: {count(len(train), 'line')} to train on, {len(val):,} to validate, the longest of"
            f" {count(train.longest - 1, 'character')}"
            + f"; {count(blank, 'blank line')} left out" * bool(blank)
            + f"; {note}" * bool(note)
        )
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        tokens = len(ids) - 1  # the first newline is never predicted
        return LinesCorpus(self.name, sha256, tokens, tokenizer, train, val, 1.0, note)

    def _check(self, every: list[str], lines: list[str], block_size: int) -> None:
        if len(lines) < 2:
            raise UserError(
                f"{self.name} has {count(len(lines), 'line')} of text, and data=lines needs two at least, one to train"
                " on and one to validate; give more, or use data=text for running text"
            )
        longest = max(lines, key=len)
        if len(longest) >= block_size:
            over = sum(len(line) >= block_size for line in lines)
            raise UserError(
                f"{self.name}: line {every.index(longest) + 1} has {count(len(longest), 'character')}, and"
                f" model.block_size={block_size} holds {block_size - 1} and the line's end; use"
                f" model.block_size={len(longest) + 1}, or shorten what is too long ({over:,} of {len(lines):,} lines)"
            )


class LineWindows(CutWindows):
    """Each line is a window: the newline before it and its characters; then its characters and the newline behind it.

    Windows are as long as the longest line of the text needs, whichever split it is in.

    Args:
        ids: all lines, (N,) of any integer type, with a newline before and behind each.
        borders: where the newlines are, (L + 1,): line i is between the ith and the next.
        lines: which lines are in this split.
    """

    def __init__(self, ids: Tensor, borders: Tensor, lines: Tensor) -> None:
        self.ids, self.borders, self.lines = ids, borders, lines
        self.longest = int(borders.diff().max())  # T, the newline included

    def __len__(self) -> int:
        return len(self.lines)

    def cut(self, index: Tensor, phase: int) -> Batch:
        line = self.lines[index]
        begin, end = self.borders[line], self.borders[line + 1]  # (B,) each
        places = begin[:, None] + torch.arange(self.longest)  # (B, T)
        outside = places >= end[:, None]
        x, y = (self.ids[(places + ahead).minimum(end[:, None])].long() for ahead in (0, 1))
        return x, y.masked_fill(outside, IGNORE)


class LinesCorpus(Corpus):
    """A corpus of lines: heads are looked at on lines that fill their windows."""

    def passages(self, n: int, longest: int) -> Tensor:
        """The longest validation lines, all cut to the length of the shortest of them: (B, T), without padding."""
        assert isinstance(self.val, LineWindows)
        lengths = self.val.borders.diff()[self.val.lines]  # of each line, the newline included
        chosen = lengths.argsort(descending=True, stable=True)[:n]
        x, _ = self.val.cut(chosen, 0)
        return x[:, : min(int(lengths[chosen].min()), longest)]
