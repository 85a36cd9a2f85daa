"""Warns at a validation if the validation text is of another kind than the training text.

Shapes: N tokens.
"""

import logging

import torch
from lightning import Trainer
from torch import Tensor

from headscope.data.lines import LineWindows
from headscope.data.windows import TextWindows, Windows
from headscope.training.module import Callback, LanguageModule

log = logging.getLogger(__name__)

LARGE = 0.25  #: nats per token; a smaller difference does not matter, and occurs between chapters of one text
BUCKETS = 2048  #: number of classes into which `difference` sorts pairs of tokens
SAMPLE = 1_000_000  #: maximum number of tokens that `difference` counts in each part of a text
LINES = 100_000  #: maximum number of lines of a split whose tokens are counted


class SplitCheck(Callback):
    """Warns at the first validation if the two texts differ, because their losses may then differ too."""

    def __init__(self) -> None:
        self._is_done = False

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if self._is_done or trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        self._is_done, corpus = True, trainer.datamodule.corpus  # type: ignore[attr-defined]
        train, val = tokens(corpus.train), tokens(corpus.val)
        if train is not None and val is not None and (nats := difference(train, val)) > LARGE:
            is_text = isinstance(corpus.train, TextWindows)
            log.warning(
                f"the training split and the validation split of {corpus.name} differ in their pairs of neighbouring"
                f" {corpus.tokenizer.unit}s, by about {nats:.2f} nats per {corpus.tokenizer.unit}, so train/loss and"
                " val/loss are hard to compare; to check, compare with a new run with"
                f" {'data.split=interleaved' if is_text else 'the lines in another order'}"
            )


def tokens(split: Windows) -> Tensor | None:
    """Returns the ids (N,) of a split of text or lines, at most `LINES` of them; None for other data."""
    if isinstance(split, LineWindows):
        lines = split.lines[:LINES]
        ends = zip(split.newlines[lines].tolist(), split.newlines[lines + 1].tolist(), strict=True)
        return torch.cat([split.ids[begin:end] for begin, end in ends])
    return split.ids if isinstance(split, TextWindows) else None


def difference(train: Tensor, val: Tensor) -> float:
    """Returns by how much a validation text (N,) differs from the training text, in nats per token; 0 if it does not.

    Compares the frequencies of pairs of tokens by their relative entropy: of the validation text and the training text,
    and, as a baseline, of each ninth of the training text and its other ninths. The result is the first minus the
    median of the baseline if it is at least twice the median. Random differences between small texts therefore cancel.
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
