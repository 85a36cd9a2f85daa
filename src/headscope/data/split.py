"""Splits running text into training and validation, and measures whether the two are the same kind of text.

Shapes: N tokens, P pieces, B windows in a batch, T positions (block_size).
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from headscope.data.windows import IGNORE, Batch, CutWindows

#: `last`: the last tenth of the text is for validation; `interleaved`: the last tenth of each of many sections is.
Split = Literal["last", "interleaved"]
SECTIONS = 100  #: maximum number of sections of an interleaved split
SHORTEST = 4  #: windows in the validation piece of a section, at least
BUCKETS = 2048  #: number of classes into which `difference` sorts pairs of tokens
SAMPLE = 1_000_000  #: tokens of each part of a text that `difference` counts


def sections(n: int, border: int, block_size: int) -> tuple[list[range], list[range]]:
    """Returns the training pieces and the validation pieces of an interleaved split of a text of n tokens.

    Every section of the text ends with its validation piece. Together, the validation pieces are as long as the one of
    the split `last`, n - `border`, up to rounding; a short text has few sections.
    """
    validation = n - border
    count = min(max(validation // (SHORTEST * block_size + 1), 1), SECTIONS)
    ends = [n * (i + 1) // count for i in range(count)]
    starts = [0, *ends[:-1]]
    borders = [end - validation // count for end in ends]
    return list(map(range, starts, borders)), list(map(range, borders, ends))


class PieceWindows(CutWindows):
    """Windows of some pieces of a text, ids (N,), each longer than T. No window crosses the border of a piece.

    As in `TextWindows`, each epoch starts at a random offset in every piece.
    """

    def __init__(self, text: Tensor, pieces: list[range], block_size: int) -> None:
        self.text, self.pieces, self.block_size = text, pieces, block_size
        self.views = text.unfold(0, block_size + 1, 1)  # (N - T, T + 1), without a copy of the ids
        self.begin = torch.tensor([piece.start for piece in pieces])  # (P,)
        self.starts = torch.tensor([len(piece) - block_size for piece in pieces])  # (P,), where a window can start
        self.ends = (self.starts // block_size).clamp(min=1).cumsum(0)  # (P,), windows up to the end of each piece

    def __len__(self) -> int:
        return int(self.ends[-1])

    def cut(self, index: Tensor, phase: int) -> Batch:
        piece = torch.searchsorted(self.ends, index, right=True)  # (B,)
        inside = index - torch.cat((self.ends.new_zeros(1), self.ends))[piece]
        starts = self.begin[piece] + (inside * self.block_size + phase) % self.starts[piece]
        window = self.views[starts].long()  # (B, T + 1)
        return window[:, :-1], window[:, 1:]

    def once(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        t = self.block_size
        places = [(at, piece.stop) for piece in self.pieces for at in range(piece.start, piece.stop - 1, t)]
        places.sort(key=lambda place: place[1] - place[0] <= t)  # complete windows first
        for first in range(rank * batch_size, len(places), world * batch_size):
            start, stop = torch.tensor(places[first : first + batch_size]).T[..., None]  # (B, 1) each
            indices = start + torch.arange(t + 1)  # (B, T + 1)
            window = self.text[indices.minimum(stop - 1)].long()
            yield window[:, :-1], window[:, 1:].masked_fill(indices[:, 1:] >= stop, IGNORE)

    @cached_property
    def ids(self) -> Tensor:
        """The tokens of all pieces."""
        return torch.cat([self.text[piece.start : piece.stop] for piece in self.pieces])


def difference(train: Tensor, val: Tensor) -> float:
    """Returns by how much a validation text differs from the training text, in nats per token; 0 if it does not.

    Compares the frequencies of pairs of tokens by their relative entropy: of the validation text and the training text,
    and, as a baseline, of each ninth of the training text and its other ninths. The result is the first minus the
    median of the baseline if it is at least twice the median. Random differences between small texts therefore cancel.
    """
    parts = [_pairs(part) for part in (*train.tensor_split(9), val)]  # (BUCKETS,) each
    whole = torch.stack(parts[:9]).sum(0)
    baseline = float(torch.stack([_relative_entropy(part, whole - part) for part in parts[:9]]).median())
    found = float(_relative_entropy(parts[9], whole))
    return found - baseline if found >= 2 * baseline else 0.0


def _pairs(ids: Tensor) -> Tensor:
    """Returns how often each class of pairs of successive tokens occurs, (BUCKETS,)."""
    ids = ids[:SAMPLE].long()
    return torch.bincount((ids[:-1] * 1_000_003 + ids[1:] * 7919) % BUCKETS, minlength=BUCKETS).double()


def _relative_entropy(counts: Tensor, reference: Tensor) -> Tensor:
    """Returns the relative entropy of two distributions in nats, with one added to each count of the reference."""
    p, q = counts / counts.sum().clamp(min=1), (reference + 1) / (reference + 1).sum()
    return torch.xlogy(p, p / q).sum()
