"""The logit lens: the prediction of a model that stops after a layer.

Shapes: L layers, B batch, T positions, V vocabulary.
"""

import torch
from torch import Tensor

from headscope.heads.capture import look
from headscope.model.transformer import TransformerLM


@torch.no_grad()
def logit_lens(model: TransformerLM, ids: Tensor) -> Tensor:
    """Applies the final norm and the output layer to the residual stream at every layer (nostalgebraist 2020).

    Args:
        model: in any mode; dropout is off.
        ids: (B, T).

    Returns:
        Logits (L + 1, B, T, V): [0] from the embeddings, [l] after l layers; [-1] equals the model's to the bit.
    """
    return torch.stack([model.head(model.norm(x)) for x in look(model, ids, "resid").resid])
