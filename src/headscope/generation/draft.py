"""A fast, inexact copy of a model, which guesses the tokens that the model will draw.

Shapes: K inputs, M outputs of a linear layer.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from headscope.generation.bare import bare

if TYPE_CHECKING:
    from headscope.model.transformer import LanguageModel

LARGE = 2_000_000  #: smallest number of weights for which a draft saves time: reading fewer weights takes little time
MULTIPLE = 16  #: the kernel reads this many inputs of a layer at once, even beyond the end of the row


class EightBits(nn.Module):
    """A linear layer with 8 bits per weight and one scale per output: it reads a quarter of the bytes of fp32.

    Args:
        exact: the layer to approximate; K must be a multiple of 16.
    """

    def __init__(self, exact: nn.Linear) -> None:
        super().__init__()
        weight = exact.weight.detach()  # (M, K)
        scale = weight.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / 127  # (M,)
        self.weight = (weight / scale[:, None]).round().to(torch.int8)
        self.scale = scale.bfloat16()
        self.bias = exact.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) to (..., M)."""
        rows = x.reshape(-1, x.shape[-1]).bfloat16()
        y = torch._weight_int8pack_mm(rows, self.weight, self.scale).view(*x.shape[:-1], -1).to(x.dtype)
        return y if self.bias is None else y + self.bias


def in_eight_bits(layer: nn.Linear) -> nn.Module:
    """Returns the layer with 8 bits per weight, or the layer itself if the kernel cannot compute its shape."""
    return layer if layer.in_features % MULTIPLE else EightBits(layer)


def draft(model: "LanguageModel") -> "LanguageModel | None":
    """Returns a faster model that nearly always draws the same token as `model`; None if this would not save time.

    It saves time on a CPU if reading the weights takes most of the time. Only the linear layers differ.

    Args:
        model: with `new_cache`; in fp32.
    """
    weights = list(model.parameters())
    fits = all(p.device.type == "cpu" and p.dtype == torch.float32 for p in weights)
    if not fits or not hasattr(model, "new_cache") or sum(p.numel() for p in weights) < LARGE:
        return None
    return bare(model, {nn.Linear: in_eight_bits})
