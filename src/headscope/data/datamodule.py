"""A corpus as a Lightning data module.

Shapes: B windows in a batch, T positions (block_size).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lightning import LightningDataModule

from headscope.data.corpus import Corpus, Source
from headscope.data.tokenizers import Tokenizer
from headscope.data.windows import Batch, TrainBatches, Windows


@dataclass(eq=False)
class ValBatches:
    """One rank's part of the validation split, in fixed windows; can be iterated repeatedly."""

    windows: Windows
    batch_size: int
    rank: int
    world: int

    def __iter__(self) -> Iterator[Batch]:
        return self.windows.once(self.batch_size, self.rank, self.world)


class CorpusData(LightningDataModule):
    """Batches of (x, y), (B, T) int64 each. They need no saved loader state: see `TrainBatches`.

    Args:
        source: loads the corpus.
        block_size: T, the model's context length.
        batch_size: B, windows in one forward pass over all devices together.
        accumulate: forward passes per step.
        seed: determines the order of the data.
        same: train on the same batch repeatedly.
        tokenizer: the tokenizer of an earlier model; None builds one for this text.
    """

    def __init__(
        self,
        source: Source,
        block_size: int,
        batch_size: int,
        accumulate: int = 1,
        seed: int = 0,
        same: bool = False,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__()
        self.source, self.block_size, self.batch_size = source, block_size, batch_size
        self.accumulate, self.seed, self.same, self.tokenizer = accumulate, seed, same, tokenizer
        self._corpus: Corpus | None = None

    @property
    def corpus(self) -> Corpus:
        """The corpus, loaded at its first use as in `Source.load`; only then is the vocabulary known."""
        if self._corpus is None:
            self._corpus = self.source.load(self.block_size, self.tokenizer)
        return self._corpus

    def train_dataloader(self) -> TrainBatches:
        trainer = self.trainer
        assert trainer is not None
        data = self.corpus.train, self.block_size, self.seed, self.batch_size, self.accumulate
        process = trainer.global_rank, trainer.world_size
        return TrainBatches(*data, *process, first_step=lambda: trainer.global_step, same=self.same)

    def val_dataloader(self) -> ValBatches:
        trainer = self.trainer
        assert trainer is not None
        tokens = max(4096, self.batch_size * self.block_size)  # no gradients are kept, so larger batches fit
        size = max(tokens // self.block_size, 1)
        return ValBatches(self.corpus.val, size, trainer.global_rank, trainer.world_size)
