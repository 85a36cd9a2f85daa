"""Weights with half as many bits, where that changes nothing that matters.

Shapes: B texts, T positions, V vocabulary.
"""

import copy
import math
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor

from headscope.generation.decode import decode
from headscope.generation.sampling import Sampling

if TYPE_CHECKING:
    from headscope.model.transformer import LanguageModel

M = TypeVar("M", bound="LanguageModel")
CLOSE = 1e-2  #: nats; what rounding may move a logit by, at most
GREEDY = 200  #: tokens that must be the same, always taking the most likely


class Rounding(NamedTuple):
    """What rounding to float16 does to a model."""

    apart: float  #: the largest change of a logit
    same_text: bool  #: whether the greedy text is the same

    @property
    def harmless(self) -> bool:
        return self.apart <= CLOSE and self.same_text


def rounded(model: M) -> M:
    """A copy whose matrices went through float16.

    Vectors, such as a norm's weights, are few and matter most: with them a trained `nano` moves by 0.009 nats, without
    by 0.006. They and buffers, such as angles, are as they were.
    """
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for weight in (p for p in twin.parameters() if p.ndim > 1):
            weight.copy_(weight.half().to(weight.dtype))
    return twin


@torch.inference_mode()
def rounding(model: "LanguageModel", texts: Tensor, prompt: Tensor) -> Rounding:
    """Compares a model with its rounded copy.

    Args:
        model: in eval mode.
        texts: ids (B, T) on which logits are compared.
        prompt: ids (1, N) that the greedy text continues.
    """
    twin = rounded(model)
    apart = (twin(texts) - model(texts)).abs().max().item()
    if not math.isfinite(apart):  # a weight is too large for 16 bits
        return Rounding(apart, same_text=False)
    greedy = Sampling(temperature=0.0)
    texts_of = [[*decode(m, prompt, GREEDY, greedy, [torch.Generator()])] for m in (model, twin)]
    return Rounding(apart, texts_of[0] == texts_of[1])
