"""Which windows a training step sees, and their contents.

Shapes: N tokens, B windows in a batch, T positions (block_size).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import count

import torch
from torch import Tensor

from headscope.errors import UserError

IGNORE = -100  #: a target that the loss does not count; PyTorch's default `ignore_index`

Batch = tuple[Tensor, Tensor]  #: x and y, (B, T) int64 each: y is what follows x


class Windows:
    """One split in windows of T tokens and their targets."""

    def __len__(self) -> int:
        """The number of windows in one epoch of training."""
        raise NotImplementedError

    def stream(self, seed: int, places: range, block_size: int) -> Batch:
        """Returns the windows at B places of the endless stream of training windows of a seed."""
        raise NotImplementedError

    def once(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yields the whole split in fixed windows: over all ranks, every target counts exactly once."""
        raise NotImplementedError


class CutWindows(Windows):
    """A split of limited length. An epoch visits each of its windows once, in a random order."""

    def cut(self, index: Tensor, phase: int) -> Batch:
        """Returns the windows `index` (B,) of an epoch that starts cutting at `phase`, 0 ≤ phase < T."""
        raise NotImplementedError

    def stream(self, seed: int, places: range, block_size: int) -> Batch:
        parts = []
        for epoch, here in split_at(places, len(self)):
            order, number = epoch_order(seed, epoch, len(self))
            parts.append(self.cut(order[here].long(), number % block_size))
        return joined(parts)

    def once(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for first in range(rank * batch_size, len(self), world * batch_size):
            index = torch.arange(first, min(first + batch_size, len(self)))
            yield self.cut(index, 0)


class TextWindows(CutWindows):
    """Windows of running text. Each epoch starts cutting at another offset, so that the borders move.

    Args:
        ids: the split, (N,) of any integer type, N > T; kept as it is, never copied.
        block_size: T.
    """

    def __init__(self, ids: Tensor, block_size: int) -> None:
        self.ids, self.block_size = ids, block_size
        self.views = ids.unfold(0, block_size + 1, 1)  # (N - T, T + 1), a view

    def __len__(self) -> int:
        return max(len(self.views) // self.block_size, 1)

    def cut(self, index: Tensor, phase: int) -> Batch:
        # The modulo matters only in a split of less than two windows.
        starts = (index * self.block_size + phase) % len(self.views)
        window = self.views[starts].long()  # (B, T + 1)
        return window[:, :-1], window[:, 1:]

    def once(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        n, t = len(self.ids), self.block_size
        windows = -(-(n - 1) // t)  # the last may be cut short
        for first in range(rank * batch_size, windows, world * batch_size):
            starts = torch.arange(first, min(first + batch_size, windows)) * t
            places = starts[:, None] + torch.arange(t + 1)  # (B, T + 1)
            window = self.ids[places.clamp(max=n - 1)].long()
            yield window[:, :-1], window[:, 1:].masked_fill(places[:, 1:] >= n, IGNORE)


class SentenceWindows(CutWindows):
    """Each sentence is a window: its words, the token that ends it, and padding that the loss ignores.

    Args:
        sentences: the ids of each, with the token that ends it.
        pad: id of the padding.
        block_size: T; windows are as long as the longest sentence.

    Raises:
        UserError: a sentence is longer than the context.
    """

    def __init__(self, sentences: list[Tensor], pad: int, block_size: int) -> None:
        longest = max(len(s) for s in sentences) - 1
        if longest > block_size:
            raise UserError(f"a sentence of {longest} words does not fit model.block_size={block_size}; use {longest}")
        rows = torch.full((len(sentences), longest + 1), pad)  # (S, T + 1)
        inside = torch.zeros_like(rows, dtype=torch.bool)
        for row, mask, sentence in zip(rows, inside, sentences, strict=True):
            row[: len(sentence)] = sentence
            mask[: len(sentence)] = True
        self.x, self.y = rows[:, :-1], rows[:, 1:].masked_fill(~inside[:, 1:], IGNORE)

    def __len__(self) -> int:
        return len(self.x)

    def cut(self, index: Tensor, phase: int) -> Batch:
        return self.x[index], self.y[index]


def joined(batches: Sequence[Batch]) -> Batch:
    """One batch of several."""
    if len(batches) == 1:
        return batches[0]
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))  # (B, T) each
    return x, y


def split_at(places: range, size: int) -> Iterator[tuple[int, slice]]:
    """Cuts ascending places at the multiples of a size: the number of each piece, and the places within it.

    In Python's integers, because a dozen operations on small tensors take longer.
    """
    for part in range(places[0] // size, places[-1] // size + 1):
        first = part * size
        here = places[bisect_left(places, first) : bisect_left(places, first + size)]
        if here:
            yield part, slice(here.start - first, here.stop - first, here.step)


@lru_cache(maxsize=2)  # a batch may end one epoch and begin the next, each perhaps of millions of windows
def epoch_order(seed: int, epoch: int, n: int) -> tuple[Tensor, int]:
    """Returns the order of an epoch's n windows, (n,), and a large random number that decides its phase."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(n, generator=generator, dtype=torch.int32), int(torch.randint(2**31, (), generator=generator))


def share(batch_size: int, world: int) -> int:
    """Windows of a batch that each of so many processes sees.

    Raises:
        UserError: they cannot share it equally.
    """
    if batch_size % world:
        raise UserError(f"batch_size={batch_size} cannot be shared by {world} processes; use a multiple of {world}")
    return batch_size // world


class TrainBatches:
    """The endless stream of training batches. What a step sees is a pure function of (seed, step, rank, world).

    Nothing is saved or replayed when a run is resumed: the stream starts at any step.

    Args:
        windows: the training split, which decides what comes when: see `Windows.stream`.
        block_size: T.
        seed: decides the order.
        batch_size: B, windows in one forward pass over all ranks together; a multiple of `world`.
        accumulate: forward passes per step.
        rank: index of this process.
        world: number of processes.
        first_step: returns the step to start at, called when iteration begins.
        same: every step sees the batch of step 0, to overfit it.

    Raises:
        UserError: the processes cannot share a batch equally.
    """

    def __init__(
        self,
        windows: Windows,
        block_size: int,
        seed: int,
        batch_size: int,
        accumulate: int = 1,
        rank: int = 0,
        world: int = 1,
        first_step: Callable[[], int] = lambda: 0,
        same: bool = False,
    ) -> None:
        share(batch_size, world)
        self.windows, self.block_size, self.seed = windows, block_size, seed
        self.batch_size, self.accumulate, self.rank, self.world = batch_size, accumulate, rank, world
        self.first_step, self.same = first_step, same

    def batch(self, step: int, part: int = 0) -> Batch:
        """Returns this rank's x and y of forward pass `part` in a step, (B / world, T) each."""
        first = 0 if self.same else (step * self.accumulate + part) * self.batch_size
        places = range(first + self.rank, first + self.batch_size, self.world)  # among all windows ever seen
        return self.windows.stream(self.seed, places, self.block_size)

    def __iter__(self) -> Iterator[Batch]:
        for step in count(self.first_step()):
            for part in range(self.accumulate):
                yield self.batch(step, part)
