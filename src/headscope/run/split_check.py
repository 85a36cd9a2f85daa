"""Warns at the first validation if the validation text is of another kind than the training text.

Shapes: N tokens.
"""

import logging

import torch
from lightning import Trainer
from torch import Tensor

from headscope.data.windows import TextWindows
from headscope.training.module import Callback, LanguageModule

log = logging.getLogger(__name__)

LARGE = 0.25  #: nats per token; a smaller difference does not matter, and occurs between chapters of one text
BUCKETS = 2048  #: number of classes into which `difference` sorts pairs of tokens
SAMPLE = 1_000_000  #: maximum number of tokens that `difference` counts in each part of a text


class SplitCheck(Callback):
    """Warns at the first validation if the two splits of a text differ, because their losses may then differ too.

    Lines are shuffled before they are split, and generated data have no splits.
    """

    def __init__(self) -> None:
        self._is_done = False

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if self._is_done or trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        self._is_done, corpus = True, trainer.datamodule.corpus  # type: ignore[attr-defined]
        train, val, unit = corpus.train, corpus.val, corpus.tokenizer.unit
        if isinstance(train, TextWindows) and (nats := difference(train.ids, val.ids)) > LARGE:
            log.warning(
                f"the training split and the validation split of {corpus.name} differ in their pairs of neighbouring"
                f" {unit}s, by about {nats:.2f} nats per {unit}, so train/loss and val/loss are hard to compare; to"
                " check, compare with a new run with data.split=interleaved"
            )


def difference(train: Tensor, val: Tensor) -> float:
    """Returns by how much a validation text (N,) differs from the training text, in nats per token; 0 if it does not.

    This is the relative entropy of the frequencies of their pairs of tokens. The same for each ninth of the training
    text and its other ninths is the baseline: its median is subtracted, and a result below the median counts as 0.
    """
    *ninths, last = (_pairs(part) for part in (*train.tensor_split(9), val))
    whole = torch.stack(ninths).sum(0)
    baseline = torch.stack([_relative_entropy(part, whole - part) for part in ninths]).median().item()
    found = _relative_entropy(last, whole).item()
    return found - baseline if found >= 2 * baseline else 0.0


def _pairs(ids: Tensor) -> Tensor:
    """Returns how often each class of pairs of successive tokens occurs, (BUCKETS,)."""
    ids = ids[:SAMPLE].long()
    return torch.bincount((ids[:-1] * 1_000_003 + ids[1:] * 7919) % BUCKETS, minlength=BUCKETS).double()


def _relative_entropy(counts: Tensor, reference: Tensor) -> Tensor:
    """Returns the relative entropy of two distributions in nats, with one added to each count of the reference."""
    p, q = counts / counts.sum().clamp(min=1), (reference + 1) / (reference + 1).sum()
    return torch.xlogy(p, p / q).sum()
