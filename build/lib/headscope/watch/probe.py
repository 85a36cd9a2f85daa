"""What the callbacks look at: the corpus of the run, and one fixed text from it."""

from lightning import Trainer
from torch import Tensor

from headscope.data.corpus import Corpus
from headscope.data.datamodule import CorpusData

LONGEST = 256  #: tokens; a longer text would not be legible in a picture


def corpus(trainer: Trainer) -> Corpus:
    """The corpus that the run trains on."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, CorpusData)
    return data.corpus


def probe(trainer: Trainer) -> Tensor:
    """Ids (1, T) of the first validation window, cut to what a picture can show."""
    x, _ = next(iter(corpus(trainer).val.once(1)))
    return x[:, :LONGEST]
