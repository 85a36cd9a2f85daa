"""Which heads carry the difference between two prompts.

Shapes: L layers, B batch, H heads, T positions, C = d_model.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from headscope.errors import UserError
from headscope.heads.capture import Replace, heads_at, look
from headscope.model.transformer import TransformerLM


class Patching(NamedTuple):
    """Logit differences, and how each head's output from the corrupt run changes the clean run's."""

    clean: Tensor  #: logit(token) - logit(against) of the clean run, (B,)
    corrupt: Tensor  #: of the corrupt run, (B,)
    direct: Tensor  #: change along the path from the head straight to the logits, (L, B, H)
    full: Tensor  #: change along all paths, (L, B, H)


@torch.no_grad()
def patch_heads(
    model: TransformerLM,
    clean: Tensor,
    corrupt: Tensor,
    tokens: Tensor,
    against: Tensor,
    position: int | None = None,
    at: int = -1,
) -> Patching:
    """Replaces what one head wrote in the clean run by what it wrote in the corrupt run, for every head in turn.

    `full` lets all later layers compute with the replacement (activation patching: Vig et al. 2020; Meng et al. 2022).
    `direct` lets only the final norm and the output layer see it (path patching from the head to the logits: Wang et
    al. 2023, section 3.1), the norm with its own new scale. A head whose `direct` is zero and whose `full` is not works
    through later layers.

    Args:
        model: in any mode; dropout is off.
        clean: ids (B, T).
        corrupt: ids (B, T), as many as in `clean`.
        tokens: (B,).
        against: (B,).
        position: where the head's output is replaced; None is everywhere.
        at: the position whose next token is predicted.

    Raises:
        UserError: prompts of different length.
    """
    if clean.shape != corrupt.shape:
        raise UserError(
            f"the clean prompt has {clean.shape[-1]} tokens and the corrupt one {corrupt.shape[-1]}: "
            "patching needs prompts of equal length, token for token"
        )

    def difference(logits: Tensor) -> Tensor:
        chosen = logits[:, at].gather(-1, torch.stack((tokens, against), -1))  # (B, 2)
        return chosen[:, 0] - chosen[:, 1]

    t = clean.shape[-1]
    here = torch.zeros(t, dtype=torch.bool, device=clean.device)
    here[slice(None) if position is None else position] = True
    before, other = look(model, clean, "heads", "resid"), look(model, corrupt, "heads", "z")
    start = difference(before.logits)
    moved = (other.heads - before.heads) * here[:, None]  # (L, B, H, T, C)
    direct, full = start.new_empty(2, model.n_layers, len(clean), model.n_heads)
    for layer in range(model.n_layers):
        for head in range(model.n_heads):
            straight = model.head(model.norm(before.resid[-1] + moved[layer, :, head]))
            direct[layer, :, head] = difference(straight) - start
            swap = Replace("z", other.z, heads_at(model, (layer, head)) & here)
            full[layer, :, head] = difference(look(model, clean, edits=[swap]).logits) - start
    return Patching(start, difference(other.logits), direct, full)
