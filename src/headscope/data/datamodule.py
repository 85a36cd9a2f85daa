"""A corpus as a Lightning data module."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lightning import LightningDataModule, Trainer

from headscope.data.corpus import Corpus, Source
from headscope.data.tokenizers import Tokenizer
from headscope.data.windows import Batch, TrainBatches, Windows


@dataclass(eq=False)
class ValBatches:
    """One process's share of the validation split, in fixed windows; can be iterated repeatedly."""

    windows: Windows
    batch_size: int
    rank: int
    world: int

    def __iter__(self) -> Iterator[Batch]:
        return self.windows.once(self.batch_size, self.rank, self.world)


class CorpusData(LightningDataModule):
    """Batches (x, y), (B, T) int64 each: B windows of T tokens. `tokenizer` comes from a checkpoint; None makes one."""

    def __init__(
        self,
        source: Source,
        block_size: int,
        batch_size: int,
        accumulate: int = 1,
        seed: int = 0,
        same_batch: bool = False,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__()
        self.source, self.block_size, self.batch_size = source, block_size, batch_size
        self.accumulate, self.seed, self.same_batch, self.tokenizer = accumulate, seed, same_batch, tokenizer

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus, loaded by `Source.load` on first use; the vocabulary is unknown until then."""
        return self.source.load(self.block_size, self.tokenizer)

    def train_dataloader(self) -> TrainBatches:
        trainer = self.trainer
        assert trainer is not None
        data = self.corpus.train, self.block_size, self.seed, self.batch_size, self.accumulate
        process = trainer.global_rank, trainer.world_size
        return TrainBatches(*data, *process, first_step=lambda: trainer.global_step, same_batch=self.same_batch)

    def val_dataloader(self) -> ValBatches:
        trainer = self.trainer
        assert trainer is not None
        size = max(4096 // self.block_size, self.batch_size)  # larger batches fit, because no gradients are computed
        return ValBatches(self.corpus.val, size, trainer.global_rank, trainer.world_size)


def corpus(trainer: Trainer) -> Corpus:
    """Returns the corpus of a run."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, CorpusData)
    return data.corpus
