"""What the callbacks look at: the corpus of the run, and fixed texts from it.

Shapes: T positions.
"""

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
    return corpus(trainer).passages(1, LONGEST)
