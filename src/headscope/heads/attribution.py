"""Shows how the parts of a model produce its logits: logit lens, direct logit attribution, and activation patching.

Shapes: N parts, L layers, B batch, H heads, D = C / H, T positions, C = d_model, V vocabulary.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from headscope.errors import UserError
from headscope.heads.capture import Replace, heads_at, look, output_matrices
from headscope.model.transformer import TransformerLM


@torch.no_grad()
def logit_lens(model: TransformerLM, ids: Tensor) -> Tensor:
    """Applies the final norm and the output layer to the residual stream of ids (B, T) at every layer.

    Source: nostalgebraist 2020. Returns logits (L + 1, B, T, V): [0] is from the embeddings, [l] is after l layers,
    and [-1] equals the model's logits bit for bit.
    """
    return torch.stack([model.head(model.norm(x)) for x in look(model, ids, "resid").resid])


class Attribution(NamedTuple):
    """Contributions to a logit, or to the difference of two logits, for each text in a batch. Their sum is `logit`."""

    logit: Tensor  #: the model's logit, or the difference of two logits, (B,)
    embedding: Tensor  #: contribution of the embedding of the token at the position `at`, (B,)
    position: Tensor  #: contribution of the vector that the positional scheme adds to the embedding, (B,)
    heads: Tensor  #: contribution of each head, (L, B, H)
    feedforward: Tensor  #: contribution of each feed-forward layer, (L, B)
    norm_bias: Tensor  #: contribution of the final norm's bias, (B,)
    head_bias: Tensor  #: contribution of the output layer's bias, (B,)

    def parts(self) -> Tensor:
        """Returns all contributions in the order of the computation, (N, B) with N = L (H + 1) + 4."""
        layers = torch.cat((self.heads, self.feedforward[..., None]), -1)  # (L, B, H + 1)
        ends = [x[None] for x in (self.embedding, self.position, self.norm_bias, self.head_bias)]
        return torch.cat((*ends[:2], layers.transpose(1, 2).flatten(0, 1), *ends[2:]))

    def named(self, row: int = 0) -> list[tuple[str, float]]:
        """Returns one text's contributions with their names, in the order of `parts`; L1H2 is head 2 in layer 1."""
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

    The residual stream is a sum of vectors. If the final norm's scale is frozen, the logit is linear in this sum
    (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"). A part's contribution does not
    include its effect on that scale or on later layers.

    Args:
        model: in any mode; dropout is turned off.
        ids: (B, T).
        tokens: the tokens whose logits are split, (B,).
        against: tokens (B,); if given, the difference logit(tokens) - logit(against) is split instead.
        at: the position whose next token is predicted.

    Raises:
        ValueError: the contributions do not add up to the logit, because the model has an unknown part; or the final
            norm is not a linear map divided by a scale, plus a bias.
    """
    cache = look(model, ids, "z", "feedforward", "resid")
    rows, biases = model.head.weight, model.head.bias
    biases = rows.new_zeros(len(rows)) if biases is None else biases

    def output_of(tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return rows[tokens], biases[tokens], cache.logits[:, at].gather(-1, tokens[:, None])[:, 0]

    direction, bias, logit = output_of(tokens)  # (B, C), (B,), (B,)
    if against is not None:
        other = output_of(against)
        direction, bias, logit = direction - other[0], bias - other[1], logit - other[2]
    reading, norm_bias = fold_frozen_norm(model.norm, cache.resid[-1, :, at], direction)
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
        raise ValueError(f"the contributions do not add up to the logit; {float(missing.max()):.2g} is missing")
    return attribution


def fold_frozen_norm(norm: nn.Module, x: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Replaces a direction in a norm's output by a direction in its input, with the norm's scale kept as it is at x.

    LayerNorm, RMSNorm and division by the vector's length each apply a linear map (centering, weights), divide by a
    scale that depends on the input, and add a bias. The function works for any such norm. At the input zero, the norm's
    value is the bias, and its derivative is the linear map divided by the scale at zero. The value at x then gives the
    factor (scale at zero) / (scale at x), and the derivative times this factor is the linear map divided by the scale
    at x.

    Returns:
        `reading` (B, C) and `bias` (B,) with norm(x) · direction = x · reading + bias, for x and direction (B, C). If x
        is a sum, a term p of this sum contributes p · reading, with the scale of the complete x.

    Raises:
        ValueError: the norm is not a linear map divided by a scale, plus a bias.
    """
    with torch.enable_grad():
        zero = torch.zeros_like(x).requires_grad_()
        at_zero = norm(zero)
        wanted = (norm(x) - at_zero).detach()
        (linear,) = torch.autograd.grad(at_zero, zero, direction, retain_graph=True)  # (B, C)
        (probe,) = torch.autograd.grad(at_zero, zero, wanted)
    tiny = torch.finfo(x.dtype).tiny
    factor = (wanted * wanted).sum(-1, keepdim=True) / (probe * x).sum(-1, keepdim=True).clamp_min(tiny)  # (B, 1)
    reading = factor * linear
    missing = (x * reading).sum(-1) - (wanted * direction).sum(-1)  # (B,)
    if not (missing.abs() <= 1e-3 * (wanted.norm(dim=-1) * direction.norm(dim=-1) + tiny)).all():
        raise ValueError(
            f"{type(norm).__name__} is not a linear map divided by a scale, plus a bias; its scale cannot be frozen"
        )
    return reading, (at_zero.detach() * direction).sum(-1)


class Patching(NamedTuple):
    """Logit differences of the clean and the corrupt run, and how patching a head changes the clean one."""

    clean: Tensor  #: logit(token) - logit(against) in the clean run, (B,)
    corrupt: Tensor  #: the same difference in the corrupt run, (B,)
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
    """Replaces the output of one head in the clean run with its output in the corrupt run, for every head in turn.

    For `full`, all later layers use the replacement (activation patching: Vig et al. 2020; Meng et al. 2022).
    For `direct`, only the final norm and the output layer use it (path patching from the head to the logits: Wang et
    al. 2023, section 3.1). In both cases, the final norm computes its scale anew; in `attribute`, the scale is frozen.
    A head with `direct` near zero and a large `full` acts through later layers.

    Args:
        model: in any mode; dropout is turned off.
        clean: ids (B, T).
        corrupt: ids (B, T), with the same shape as `clean`.
        tokens: (B,); logit(tokens) - logit(against) is measured.
        against: (B,).
        position: the position at which the head's output is replaced; None replaces it at all positions.
        at: the position whose next token is predicted.

    Raises:
        UserError: the prompts have different shapes.
    """
    if clean.shape != corrupt.shape:
        raise UserError(
            f"the clean prompt has {clean.shape[-1]} tokens and the corrupt prompt has {corrupt.shape[-1]}; "
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
            patched = model.head(model.norm(before.resid[-1] + moved[layer, :, head]))
            direct[layer, :, head] = difference(patched) - start
            swap = Replace("z", other.z, heads_at(model, (layer, head)) & here)
            full[layer, :, head] = difference(look(model, clean, edits=[swap]).logits) - start
    return Patching(start, difference(other.logits), direct, full)
