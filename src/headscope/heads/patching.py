"""Activation patching: which heads carry the difference between two prompts.

Shapes: L layers, B batch, H heads, T positions, C = d_model.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from headscope.errors import UserError
from headscope.heads.capture import Replace, heads_at, look
from headscope.model.transformer import TransformerLM


class Patching(NamedTuple):
    """Logit differences of both runs, and the change when a head's output comes from the corrupt run."""

    clean: Tensor  #: logit(token) - logit(against) of the clean run, (B,)
    corrupt: Tensor  #: of the corrupt run, (B,)
    direct: Tensor  #: change along the direct path from the head to the logits, (L, B, H)
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
    """Replaces the output of one head in the clean run by its output in the corrupt run, for every head in turn.

    For `full`, all later layers compute with the replacement (activation patching: Vig et al. 2020; Meng et al. 2022).
    For `direct`, only the final norm and the output layer do (path patching from the head to the logits: Wang et al.
    2023, section 3.1); the norm's scale changes too. A head with `direct` near zero and a large `full` acts through
    later layers.

    Args:
        model: in any mode; dropout is off.
        clean: ids (B, T).
        corrupt: ids (B, T), with the same shape as `clean`.
        tokens: (B,); the measure is logit(tokens) - logit(against).
        against: (B,).
        position: where the head's output is replaced; None replaces it everywhere.
        at: the position whose next token is predicted.

    Raises:
        UserError: the prompts have different lengths.
    """
    if clean.shape != corrupt.shape:
        raise UserError(
            f"the clean prompt has {clean.shape[-1]} tokens and the corrupt one {corrupt.shape[-1]}; "
            "patching needs prompts with the same number of tokens"
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
