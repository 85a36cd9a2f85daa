"""The corpus that a run trains on."""

from lightning import Trainer

from headscope.data.corpus import Corpus
from headscope.data.datamodule import CorpusData


def corpus(trainer: Trainer) -> Corpus:
    """Returns the corpus of the run."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, CorpusData)
    return data.corpus
