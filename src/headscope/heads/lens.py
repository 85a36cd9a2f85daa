"""What the model would predict if it stopped after a layer.

Shapes: L layers, B batch, T positions, V vocabulary.
"""

import torch
from torch import Tensor

from headscope.heads.capture import look
from headscope.model.transformer import TransformerLM


@torch.no_grad()
def logit_lens(model: TransformerLM, ids: Tensor) -> Tensor:
    """The final norm and the output layer on the stream before each block and after the last (nostalgebraist 2020).

    Args:
        model: in any mode; dropout is off.
        ids: (B, T).

    Returns:
        Logits (L + 1, B, T, V): [0] of the embeddings alone, [-1] the model's own to the bit.
    """
    return torch.stack([model.head(model.norm(x)) for x in look(model, ids, "resid").resid])
