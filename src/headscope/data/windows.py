"""Windows of tokens, and the order in which training sees them.

The seed alone determines one endless sequence of training windows, and each forward pass takes the next B windows of
that sequence. The windows of any step can therefore be computed without reading the previous steps, and a resumed run
needs no saved loader state. The total batch is the same on any number of processes, because each of the `world`
processes takes every `world`-th window of the batch.

Shapes: N tokens, B windows in a batch, T positions (block_size).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from headscope.errors import UserError

IGNORE = -100  #: marks a target that does not count in the loss; PyTorch's default `ignore_index`

Batch = tuple[Tensor, Tensor]  #: inputs x and targets y, (B, T) int64 each; y[t] is the token after x[t]


class Windows:
    """One split of a corpus, as windows of T tokens with their targets."""

    def __len__(self) -> int:
        """The number of training windows in one epoch."""
        raise NotImplementedError

    def stream(self, seed: int, indices: range, block_size: int) -> Batch:
        """Returns the training windows at B indices in the endless sequence that a seed determines."""
        raise NotImplementedError

    def once(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yields this process's share of the split, in fixed windows; over all processes, every target counts once."""
        raise NotImplementedError


class CutWindows(Windows):
    """A split with a fixed number of windows. Each epoch visits every window once, in a random order."""

    def cut(self, index: Tensor, phase: int) -> Batch:
        """Returns windows `index` (B,) in an epoch whose first window starts at token `phase`, 0 ≤ phase < T."""
        raise NotImplementedError

    def stream(self, seed: int, indices: range, block_size: int) -> Batch:
        batches = []
        for epoch, inside in split_at_multiples(indices, len(self)):
            order, random_number = epoch_order(seed, epoch, len(self))
            batches.append(self.cut(order[inside].long(), random_number % block_size))
        return concatenate_batches(batches)

    def once(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for first in range(rank * batch_size, len(self), world * batch_size):
            yield self.cut(torch.arange(first, min(first + batch_size, len(self))), 0)


class TextWindows(CutWindows):
    """Windows of running text, ids (N,), N > T. Each epoch starts at a random offset, so that window borders differ."""

    def __init__(self, ids: Tensor, block_size: int) -> None:
        self.ids, self.block_size = ids, block_size
        self.views = ids.unfold(0, block_size + 1, 1)  # (N - T, T + 1), without a copy of the ids

    def __len__(self) -> int:
        return max(len(self.views) // self.block_size, 1)

    def cut(self, index: Tensor, phase: int) -> Batch:
        # The modulo matters only in a split of fewer than two windows.
        starts = (index * self.block_size + phase) % len(self.views)
        window = self.views[starts].long()  # (B, T + 1)
        return window[:, :-1], window[:, 1:]

    def once(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        n, t = len(self.ids), self.block_size
        windows = -(-(n - 1) // t)  # rounded up: the last window may be incomplete
        for first in range(rank * batch_size, windows, world * batch_size):
            starts = torch.arange(first, min(first + batch_size, windows)) * t
            indices = starts[:, None] + torch.arange(t + 1)  # (B, T + 1)
            window = self.ids[indices.clamp(max=n - 1)].long()
            yield window[:, :-1], window[:, 1:].masked_fill(indices[:, 1:] >= n, IGNORE)


class SentenceWindows(CutWindows):
    """One window per sentence. The last id of a sentence is the end token; the loss ignores the padding after it.

    T is the length of the longest sentence, at most `block_size`.
    """

    def __init__(self, sentences: list[Tensor], pad: int, block_size: int) -> None:
        longest = max(len(s) for s in sentences) - 1
        if longest > block_size:
            problem = f"a sentence of {longest} words does not fit model.block_size={block_size}"
            raise UserError(f"{problem}; use model.block_size={longest}")
        self.x = pad_sequence(sentences, batch_first=True, padding_value=pad)[:, :-1]  # (S, T)
        self.y = pad_sequence([s[1:] for s in sentences], batch_first=True, padding_value=IGNORE)

    def __len__(self) -> int:
        return len(self.x)

    def cut(self, index: Tensor, phase: int) -> Batch:
        return self.x[index], self.y[index]


def concatenate_batches(batches: Sequence[Batch]) -> Batch:
    """Returns the windows of several batches as one batch."""
    if len(batches) == 1:
        return batches[0]
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))  # (B, T) each
    return x, y


def split_at_multiples(indices: range, size: int) -> Iterator[tuple[int, slice]]:
    """Splits ascending indices into blocks of `size`; yields the number of each block, and a slice inside the block.

    Uses Python integers, because a dozen operations on small tensors would take longer.
    """
    for block in range(indices[0] // size, indices[-1] // size + 1):
        first = block * size
        here = indices[bisect_left(indices, first) : bisect_left(indices, first + size)]
        if here:
            yield block, slice(here.start - first, here.stop - first, here.step)


@lru_cache(maxsize=2)  # one batch may need the orders of two epochs; an order can have millions of entries
def epoch_order(seed: int, epoch: int, n: int) -> tuple[Tensor, int]:
    """Returns the order (n,) of the windows in an epoch, and a random number that determines the phase."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(n, generator=generator, dtype=torch.int32), int(torch.randint(2**31, (), generator=generator))


@dataclass(eq=False)
class TrainBatches:
    """The endless stream of training batches. A batch depends only on the fields, the step and the forward pass."""

    windows: Windows  #: the training split
    block_size: int  #: T
    seed: int  #: determines the order of the windows
    batch_size: int  #: B, windows in one forward pass of all processes together; a multiple of `world`
    accumulate: int = 1  #: forward passes per step
    rank: int = 0  #: index of this process
    world: int = 1  #: number of processes
    first_step: Callable[[], int] = lambda: 0  #: returns the step to start at; called when iteration begins
    same_batch: bool = False  #: whether every step trains on the batch of step 0, to overfit it

    def batch(self, step: int, part: int = 0) -> Batch:
        """Returns the x and y of this process for forward pass `part` of a step, (B / world, T) each."""
        first = 0 if self.same_batch else (step * self.accumulate + part) * self.batch_size
        indices = range(first + self.rank, first + self.batch_size, self.world)
        return self.windows.stream(self.seed, indices, self.block_size)

    def __iter__(self) -> Iterator[Batch]:
        for step in count(self.first_step()):
            for part in range(self.accumulate):
                yield self.batch(step, part)
