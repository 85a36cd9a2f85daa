"""Measures how much the loss depends on a head: by ablation, and by the gradient of a gate on the head's output.

An ablation replaces the head's output. Zeros remove everything that the head adds, including a constant part that later
layers may rely on. The mean output keeps that constant part and removes only the differences between tokens. The head's
output on another text removes only the part that depends on the current text.

Mean ablation leaves position 0 unchanged. Position 0 sees only itself, and its activations are outliers in models whose
heads use the first token as an attention sink (Gu et al. 2024, arXiv 2410.10781).

Shapes: B texts, T positions, H heads, D head width, V vocabulary, L layers. A text of T ids has T - 1 losses, because
the target of its last position is unknown.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from headscope.heads.capture import ActivationCache, Field, Replace, Scale, capture, evaluating, heads_at, look
from headscope.model.transformer import TransformerLM

Ablation = Callable[[Tensor], Tensor]  #: maps head outputs (L, B, H, T, D) to a replacement that broadcasts to them


def zero(z: Tensor) -> Tensor:
    """Zero ablation: replaces the head's output with zeros (Michel et al. 2019, section 2.2)."""
    return z.new_zeros(())


def mean(z: Tensor) -> Tensor:
    """Mean ablation: replaces the head's output with its mean over texts and positions (Wang et al. 2022).

    Position 0 keeps its own output and does not count in the mean.
    """
    rest = z[..., 1:, :]
    return torch.cat((z[..., :1, :], rest.mean((1, 3), keepdim=True).expand(rest.shape)), -2)


def resample(z: Tensor) -> Tensor:
    """Resample ablation: uses the head's output at the same position of the batch's next text (Chan et al. 2022).

    Raises:
        ValueError: the batch has a single text.
    """
    if z.shape[1] < 2:
        raise ValueError("resample ablation uses the output on another text; it needs at least two texts, not one")
    return z.roll(1, 1)


def losses(logits: Tensor, ids: Tensor) -> Tensor:
    """Returns the loss of every target in nats, (B, T - 1), in fp32 or wider, from logits (B, T, V) and ids (B, T)."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return F.cross_entropy(logits[:, :-1].to(dtype).transpose(1, 2), ids[:, 1:], reduction="none")


def ablate(
    model: TransformerLM,
    ids: Tensor,
    heads: Sequence[tuple[int, int]],
    by: Ablation = mean,
    cache: ActivationCache | None = None,
) -> Tensor:
    """Returns how much the loss of each target of ids (B, T) rises when all the given heads are ablated together.

    The result is in nats, (B, T - 1). The model does not change. Each head is a pair (layer, head), counted from 0.
    `by` is `zero`, `mean` or `resample`. `cache` is the result of `look(model, ids, "z")`, if you already have it.
    """
    cache = look(model, ids, "z") if cache is None else cache
    edit = Replace("z", by(cache.z), heads_at(model, *heads))
    return losses(look(model, ids, edits=[edit]).logits, ids) - losses(cache.logits, ids)


@torch.no_grad()
def ablate_groups(
    model: TransformerLM, ids: Tensor, layer: int, groups: Sequence[Sequence[int]], cache: ActivationCache
) -> Tensor:
    """Mean-ablates several groups of one layer's heads in a single pass, like one call of `ablate` per group.

    The pass starts at this layer's heads, because nothing before them changes. `cache` is the result of
    `look(model, ids, "z", "resid")`. Returns how much each target's loss rises, in nats (G, B, T - 1).
    """
    g, b = len(groups), len(ids)
    removed = torch.zeros(g, 1, model.n_heads, 1, 1, dtype=torch.bool, device=ids.device)
    for i, heads in enumerate(groups):
        removed[i, :, list(heads)] = True
    first, *later = model.layers()[layer:]
    with evaluating(model):  # without dropout, these lines compute the same as the block `first`
        z = torch.where(removed, mean(cache.z)[layer], cache.z[layer]).flatten(0, 1)  # (G B, H, T, D)
        x = cache.resid[layer].repeat(g, 1, 1) + first.attention.merge(z)  # (G B, T, C)
        x = x + first.feedforward(first.norm2(x))
        for block in later:
            x = block(x)
        logits = model.head(model.norm(x))  # (G B, T, V)
    return losses(logits, ids.repeat(g, 1)).view(g, b, -1) - losses(cache.logits, ids)


def gradient_importance(model: TransformerLM, ids: Tensor, where: Tensor | None = None) -> Tensor:
    """Returns E|∂loss/∂ξ_h| in nats, (L, H). The gate ξ_h = 1 multiplies the output of head h.

    Source: Michel et al. 2019, equation 2. The loss is the mean over a text's targets, and E is the mean over texts.
    The function uses one backward pass and works even under `torch.inference_mode`. The parameters' gradients do not
    change. Only targets in the mask `where`, bool (B, T - 1), count; None counts all. Texts without a counted target
    are ignored.
    """
    return look_with_importance(model, ids, where=where)[1]


def look_with_importance(
    model: TransformerLM, ids: Tensor, *fields: Field, where: Tensor | None = None
) -> tuple[ActivationCache, Tensor]:
    """Returns `look(model, ids, *fields)` and `gradient_importance(model, ids, where)` from one forward pass."""
    with torch.inference_mode(False), torch.enable_grad():
        ids = ids.clone()  # autograd cannot save ids that were created in inference mode
        chosen = torch.ones_like(ids[:, 1:], dtype=torch.bool) if where is None else where.clone()
        gates = torch.ones(model.n_layers, len(ids), model.n_heads, device=ids.device, requires_grad=True)
        with evaluating(model), capture(model, *fields, edits=[Scale(gates)]) as cache:
            nats = losses(model(ids), ids)  # (B, T - 1)
        count = chosen.sum(1)  # (B,)
        means = (nats * chosen).sum(1)[count > 0] / count[count > 0]
        (slopes,) = torch.autograd.grad(means.sum(), gates)  # (L, B, H)
        return cache.detach(), slopes[:, count > 0].abs().mean(1)
