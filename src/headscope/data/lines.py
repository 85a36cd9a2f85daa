"""One example per line, such as a name, a molecule or a command."""

import hashlib
import logging

import torch
from torch import Tensor

from headscope.data.corpus import Corpus, Source, name_text_in_errors
from headscope.data.textfiles import TextFiles
from headscope.data.tokenizers import CharTokenizer, LineTokenizer, Tokenizer
from headscope.data.tokenizers.base import count, tokenize
from headscope.data.tokenizers.simple import LINE_END
from headscope.data.windows import IGNORE, Batch, CutWindows
from headscope.errors import UserError

log = logging.getLogger(__name__)


class Lines(Source):
    """Each line of a text is one example, split into characters, with a newline before and after it.

    The lines are shuffled, always in the same order, and then the last tenth is for validation. The newline after a
    line is a target, but the padding after the newline is not. Blank lines are skipped.
    """

    def __init__(self, path: str) -> None:
        self.files = TextFiles(path)
        self.name = self.files.name

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        all_lines = LINE_END.split(self.files.read())
        lines = [line for line in all_lines if line.strip()]
        self._check(all_lines, lines, block_size)
        text = "\n".join(["", *lines, ""])
        if tokenizer is not None and (not isinstance(tokenizer, CharTokenizer) or "\n" not in tokenizer.vocab):
            raise UserError(
                f"data=lines does not fit the checkpoint's tokenizer: the lines need characters and a newline;"
                f" use a checkpoint that was trained on characters, or train on {self.name} without one"
            )
        with name_text_in_errors(self.name):
            tokenizer, ids = tokenize(text, LineTokenizer(vocab=tokenizer.vocab) if tokenizer else LineTokenizer)
        newlines = (ids == tokenizer.encode("\n")).nonzero().flatten()  # (L + 1,) for L lines
        order = torch.randperm(len(lines), generator=torch.Generator().manual_seed(0))
        border = len(lines) - max(len(lines) // 10, 1)
        train, val = (LineWindows(ids, newlines, part) for part in (order[:border], order[border:]))
        train_lines = {lines[i] for i in order[:border].tolist()}
        in_both = sum(lines[i] in train_lines for i in order[border:].tolist())
        note = f"{in_both:,} of {count(len(val), 'validation line')} also occur in the training split" * bool(in_both)
        blank = len(all_lines) - len(lines) - (not all_lines[-1])  # a final newline does not begin another line
        splits = f"{count(len(train), 'line')} to train on, {len(val):,} to validate"
        parts = [f"{splits}; the longest line has {count(train.longest - 1, 'character')}"]
        parts += [f"{count(blank, 'blank line')} left out"] * bool(blank) + [note] * bool(note)
        log.info(f"{self.name}: {'; '.join(parts)}")
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        tokens = len(ids) - 1  # the first newline is never a target
        return LinesCorpus(self.name, sha256, tokens, tokenizer, train, val, 1.0, note)

    def _check(self, all_lines: list[str], lines: list[str], block_size: int) -> None:
        if len(lines) < 2:
            raise UserError(
                f"{self.name} has {count(len(lines), 'line')} of text, and data=lines needs at least two, one for"
                " training and one for validation; add lines, or use data=text for running text"
            )
        longest = max(lines, key=len)
        if len(longest) >= block_size:
            too_long = sum(len(line) >= block_size for line in lines)
            raise UserError(
                f"{self.name}: line {all_lines.index(longest) + 1} has {count(len(longest), 'character')}, and"
                f" model.block_size={block_size} has room for {block_size - 1} and the line's end; use"
                f" model.block_size={len(longest) + 1}, or shorten the lines that are too long ({too_long:,} of"
                f" {len(lines):,})"
            )


class LineWindows(CutWindows):
    """One window per line: x has the newline before the line and its characters, y the characters and a final newline.

    All windows have the length that the longest line in either split needs. `ids` (N,) contains all L lines, with
    newlines between them and at both ends. `newlines` (L + 1,) contains the indices of the newlines: line i is between
    `newlines[i]` and `newlines[i + 1]`. `lines` contains the indices of the lines in this split.
    """

    def __init__(self, ids: Tensor, newlines: Tensor, lines: Tensor) -> None:
        self.ids, self.newlines, self.lines = ids, newlines, lines
        self.longest = int(newlines.diff().max())  # T, including one newline

    def __len__(self) -> int:
        return len(self.lines)

    def cut(self, index: Tensor, phase: int) -> Batch:
        line = self.lines[index]
        begin, end = self.newlines[line], self.newlines[line + 1]  # (B,) each
        indices = begin[:, None] + torch.arange(self.longest)  # (B, T)
        outside = indices >= end[:, None]
        x, y = (self.ids[(indices + ahead).minimum(end[:, None])].long() for ahead in (0, 1))
        return x, y.masked_fill(outside, IGNORE)


class LinesCorpus(Corpus):
    """A corpus of lines. Its probe texts are cut so that they need no padding."""

    def passages(self, n: int, longest: int) -> Tensor:
        """Returns the longest validation lines, cut to the length of the shortest one: ids (B, T), without padding."""
        assert isinstance(self.val, LineWindows)
        lengths = self.val.newlines.diff()[self.val.lines]  # for each line, including one newline
        chosen = lengths.argsort(descending=True, stable=True)[:n]
        x, _ = self.val.cut(chosen, 0)
        return x[:, : min(int(lengths[chosen].min()), longest)]
