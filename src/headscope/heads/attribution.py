"""Direct logit attribution: how much each part of the model adds to a logit.

Shapes: N parts, L layers, B batch, H heads, D = C / H, T positions, C = d_model.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from headscope.heads.capture import look, output_matrices
from headscope.heads.frozen import through_frozen
from headscope.model.transformer import TransformerLM


class Attribution(NamedTuple):
    """Contributions to a logit, or to the difference of two logits, per text of a batch. They add up to `logit`."""

    logit: Tensor  #: the model's logit or difference of logits, (B,)
    embedding: Tensor  #: contribution of the token at this position, (B,)
    position: Tensor  #: of the vector that the positional scheme adds to the embedding, (B,)
    heads: Tensor  #: (L, B, H)
    feedforward: Tensor  #: (L, B)
    norm_bias: Tensor  #: of the final norm, (B,)
    head_bias: Tensor  #: of the output layer, (B,)

    def parts(self) -> Tensor:
        """Returns all contributions in the order of the computation, (N, B) with N = L (H + 1) + 4."""
        layers = torch.cat((self.heads, self.feedforward[..., None]), -1)  # (L, B, H + 1)
        ends = [x[None] for x in (self.embedding, self.position, self.norm_bias, self.head_bias)]
        return torch.cat((*ends[:2], layers.transpose(1, 2).flatten(0, 1), *ends[2:]))

    def named(self, row: int = 0) -> list[tuple[str, float]]:
        """Returns the contributions of one text with their names, in the same order; L1H2 is head 2 of layer 1."""
        n_layers, _, n_heads = self.heads.shape
        names = ["token embedding", "position"]
        for layer in range(n_layers):
            names += [*(f"L{layer}H{head}" for head in range(n_heads)), f"L{layer} feed-forward"]
        names += ["bias of the final norm", "bias of the output"]
        return list(zip(names, self.parts()[:, row].tolist(), strict=True))


@torch.no_grad()
def attribute(
    model: TransformerLM, ids: Tensor, tokens: Tensor, against: Tensor | None = None, at: int = -1
) -> Attribution:
    """Splits a logit into the contributions of the model's parts.

    The residual stream is a sum of vectors, and the logit is linear in it once the final norm's scale is frozen at its
    value (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"). A part's contribution leaves out
    its effect on that scale and on later layers.

    Args:
        model: in any mode; dropout is off.
        ids: (B, T).
        tokens: the tokens whose logits are split, (B,).
        against: if given, the difference logit(tokens) - logit(against) is split instead, (B,).
        at: the position whose next token is predicted.

    Raises:
        ValueError: the contributions do not add up to the logit, because the model has another part that adds to it.
    """
    cache = look(model, ids, "z", "feedforward", "resid")
    direction, bias, logit = _output_rows(model, tokens, cache.logits[:, at])
    if against is not None:
        other = _output_rows(model, against, cache.logits[:, at])
        direction, bias, logit = direction - other[0], bias - other[1], logit - other[2]
    reading, norm_bias = through_frozen(model.norm, cache.resid[-1, :, at], direction)
    reading = reading.double()  # so that a sum of many parts loses no precision
    embedding = model.embedding(ids)[:, at]  # (B, C)
    matrices = torch.stack([output_matrices(b.attention.out.weight, model.n_heads) for b in model.layers()])
    attribution = Attribution(
        logit,
        (embedding * reading).sum(-1),
        ((cache.resid[0, :, at] - embedding) * reading).sum(-1),
        torch.einsum("lbhd,lhdc,bc->lbh", cache.z[:, :, :, at].double(), matrices.double(), reading),
        (cache.feedforward[:, :, at] * reading).sum(-1),
        norm_bias.double(),
        bias.double(),
    )
    missing = (attribution.parts().sum(0) - logit).abs()
    if not (missing <= 1000 * torch.finfo(logit.dtype).eps * (1 + attribution.parts().abs().sum(0))).all():
        raise ValueError(f"contributions do not add up to the logit, {float(missing.max()):.2g} is missing")
    return attribution


def _output_rows(model: TransformerLM, tokens: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the output layer's rows (B, C) and biases (B,) for tokens (B,), and their logits (B,) of (B, V)."""
    weight, bias = model.head.weight[tokens], model.head.bias
    return (
        weight,
        weight.new_zeros(len(tokens)) if bias is None else bias[tokens],
        logits.gather(-1, tokens[:, None])[:, 0],
    )
