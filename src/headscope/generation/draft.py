"""A rough and quick copy of a model, which guesses what the model will write.

Shapes: K inputs, M outputs of a linear layer.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from headscope.generation.bare import bare

if TYPE_CHECKING:
    from headscope.model.transformer import LanguageModel

LARGE = 2_000_000  #: weights from which on a draft pays: smaller models spend their time on other things than weights


MULTIPLE = 16  #: the kernel reads so many inputs of a layer at once, and past the end of others


class EightBits(nn.Module):
    """A linear layer with eight bits a weight and a scale a row: a quarter of the bytes of fp32, which take the time.

    Args:
        exact: the layer that this one is near; K a multiple of 16.
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


def rounded(layer: nn.Linear) -> nn.Module:
    """Returns a linear layer in eight bits where the kernel takes its shape, else as it is."""
    return layer if layer.in_features % MULTIPLE else EightBits(layer)


def draft(model: "LanguageModel") -> "LanguageModel | None":
    """Returns a model that draws the same token as another nearly always, and sooner; None where that does not pay.

    It pays on a CPU, where reading the weights takes most of the time. Linear layers are all that differs.

    Args:
        model: with `new_cache`; in fp32.
    """
    weights = list(model.parameters())
    fits = all(p.device.type == "cpu" and p.dtype == torch.float32 for p in weights)
    if not fits or not hasattr(model, "new_cache") or sum(p.numel() for p in weights) < LARGE:
        return None
    return bare(model, {nn.Linear: rounded})
