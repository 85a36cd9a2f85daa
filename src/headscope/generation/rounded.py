"""Rounding of weights to float16, and a measurement of its effect.

Shapes: B texts, T positions, N tokens of a prompt.
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
MAX_CHANGE = 1e-2  #: the largest accepted change of a logit, in nats
GREEDY_TOKENS = 200  #: tokens of greedy text that must be identical


class Rounding(NamedTuple):
    """The effect of rounding a model's weights to float16."""

    largest_change: float  #: largest change of a logit, in nats
    same_text: bool  #: whether the greedy text is the same

    @property
    def is_harmless(self) -> bool:
        return self.largest_change <= MAX_CHANGE and self.same_text


def round_to_float16(model: M) -> M:
    """Returns a copy in which every matrix is rounded to float16; its dtype does not change.

    Vectors, such as the weights of a norm, are not rounded: they are few, and rounding them too would change the logits
    of a trained `model=nano` by up to 0.009 nats instead of 0.006. Buffers are not rounded either.
    """
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for weight in (p for p in rounded.parameters() if p.ndim > 1):
            weight.copy_(weight.half().to(weight.dtype))
    return rounded


@torch.inference_mode()
def measure_rounding(model: "LanguageModel", texts: Tensor, prompt: Tensor) -> Rounding:
    """Compares a model with its float16 copy: logits of `texts` (B, T), and the greedy text after `prompt` (1, N)."""
    rounded = round_to_float16(model)
    change = (rounded(texts) - model(texts)).abs().max().item()
    if not math.isfinite(change):  # a weight is too large for float16
        return Rounding(change, same_text=False)
    greedy = Sampling(temperature=0.0)
    text, rounded_text = ([*decode(m, prompt, GREEDY_TOKENS, greedy, [torch.Generator()])] for m in (model, rounded))
    return Rounding(change, text == rounded_text)
