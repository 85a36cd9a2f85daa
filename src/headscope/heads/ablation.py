"""Measures how much the loss depends on a head: by ablation, and by the gradient of a gate on the head's output.

An ablation replaces the head's output. Zeros remove everything that the head adds, including a constant part that later
layers may rely on. The mean output keeps that constant part and removes only the differences between tokens. The head's
output on another text removes only the part that depends on the current text.

Mean ablation leaves position 0 unchanged. Position 0 sees only itself, and its activations are outliers in models whose
heads use the first token as an attention sink (Gu et al. 2024, arXiv 2410.10781).

Shapes: B texts, T positions, H heads, D head width, V vocabulary, L layers. A text of T ids has T - 1 losses, because
the target of its last position is unknown.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from headscope.heads.capture import ActivationCache, Field, Replace, Scale, capture, evaluating, heads_at, look
from headscope.model.transformer import TransformerLM

Head = tuple[int, int]  #: layer and head, both counted from 0
Ablation = Callable[[Tensor], Tensor]  #: maps head outputs (L, B, H, T, D) to a replacement that broadcasts to them
#: Maximum size of a pass that ablates several groups: the number of logits, plus `FACTOR` numbers per channel of the
#: residual stream. These numbers take 64 MB in fp32.
LARGEST = 2**24
FACTOR = 8  #: the hidden channels of a feed-forward, the queries, keys and values, per channel of the residual stream


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
    heads: Sequence[Head],
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
    model: TransformerLM, ids: Tensor, groups: Sequence[Sequence[Head]], cache: ActivationCache
) -> Tensor:
    """Mean-ablates several groups of heads, like one call of `ablate` per group, but in fewer passes.

    A pass starts at the first layer of its groups, because nothing before this layer changes. `cache` is the result of
    `look(model, ids, "z", "resid")`. Returns how much each target's loss rises, in nats (G, B, T - 1).
    """
    firsts = [min(layer for layer, _ in group) for group in groups]
    return _rises(model, ids, groups, firsts, mean(cache.z), _Start(cache.z, cache.resid, cache.logits))


@torch.no_grad()
def ablate_last(
    model: TransformerLM, ids: Tensor, heads: Sequence[Head], group: Sequence[Head], cache: ActivationCache
) -> Tensor:
    """Mean-ablates each of `heads` after all other heads of `group`, which contains `heads`.

    The function runs one pass without the group, and then restores each head in a pass that starts at the layer of this
    head. `cache` is as in `ablate_groups`. Returns how much each target's loss rises, in nats (len(heads), B, T - 1).
    """
    means, intact = mean(cache.z), _Record()
    without = look(model, ids, "resid", edits=[intact, Replace("z", means, heads_at(model, *group))])
    start = _Start(torch.stack(intact.z), without.resid, without.logits)
    groups = [[other for other in group if other != head] for head in heads]
    return -_rises(model, ids, groups, [layer for layer, _ in heads], means, start)


@torch.no_grad()
def replace_each(
    model: TransformerLM, ids: Tensor, by: Tensor, cache: ActivationCache, heads: Sequence[Head] | None = None
) -> Tensor:
    """Replaces the output of one head at a time, and returns how much each target's loss rises, (N, B, T - 1).

    `by` has the new outputs, (L, B, H, T, D). `heads` are the N heads to replace; None means all. `cache` is as in
    `ablate_groups`. With `mean(cache.z)`, the function ablates; with another map @ values, it replaces the attention.
    """
    chosen = [(i, j) for i in range(model.n_layers) for j in range(model.n_heads)] if heads is None else heads
    start = _Start(cache.z, cache.resid, cache.logits)
    return _rises(model, ids, [[head] for head in chosen], [layer for layer, _ in chosen], by, start)


class _Start(NamedTuple):
    """The activations from which a pass starts: fields of an `ActivationCache`, with z before any edit."""

    z: Tensor
    resid: Tensor
    logits: Tensor


class _Record:
    """Records head outputs before later edits change them."""

    at: Literal["z"] = "z"

    def __init__(self) -> None:
        self.z: list[Tensor] = []  # (B, H, T, D) per layer

    def __call__(self, layer: int, x: Tensor) -> Tensor:
        self.z.append(x)
        return x


@dataclass(frozen=True)
class _ReplaceInGroups:
    """Replaces head outputs in G copies of a batch, which ablate different heads."""

    by: Tensor  #: (L, B, H, T, D)
    where: Tensor  #: True where a head is ablated, (L, G, 1, H, 1)
    at: Literal["z"] = "z"

    def __call__(self, layer: int, x: Tensor) -> Tensor:
        if not self.where[layer].any():
            return x
        copies = x.view(self.where.shape[1], -1, *x.shape[1:])  # (G, B, H, T, D)
        return torch.where(self.where[layer][..., None], self.by[layer], copies).flatten(0, 1)


def _rises(
    model: TransformerLM,
    ids: Tensor,
    groups: Sequence[Sequence[Head]],
    firsts: Sequence[int],
    means: Tensor,
    start: _Start,
) -> Tensor:
    """Returns how much each target's loss rises above its loss in `start` if a group is ablated, (G, B, T - 1).

    The activations differ from those in `start` only from the layers `firsts` (G,) on. A pass has as many groups of the
    same first layer as `LARGEST` allows.
    """
    by_first: dict[int, list[int]] = defaultdict(list)
    for i, first in enumerate(firsts):
        by_first[first].append(i)
    size = max(LARGEST // (ids.numel() * (model.vocab_size + FACTOR * model.d_model)), 1)
    before = losses(start.logits, ids)  # (B, T - 1)
    rises = before.new_empty(len(groups), *before.shape)
    for first, chosen in by_first.items():
        for part in (chosen[i : i + size] for i in range(0, len(chosen), size)):
            where = torch.stack([heads_at(model, *groups[i]) for i in part], 1)  # (L, G, 1, H, 1)
            logits = _logits(model, first, _ReplaceInGroups(means, where), start)  # (G B, T, V)
            rises[part] = losses(logits, ids.repeat(len(part), 1)).view(len(part), *before.shape) - before
    return rises


def _logits(model: TransformerLM, first: int, edit: _ReplaceInGroups, start: _Start) -> Tensor:
    """Returns the logits (G B, T, V) of a pass from the heads of layer `first` on, under an edit of G copies."""
    g = edit.where.shape[1]
    block, *later = model.layers()[first:]
    edits = capture(model, edits=[edit]) if edit.where[first + 1 :].any() else nullcontext()
    with evaluating(model):  # without dropout, these lines compute the same as `block`
        z = edit(first, start.z[first].repeat(g, 1, 1, 1))  # (G B, H, T, D)
        x = start.resid[first].repeat(g, 1, 1) + block.attention.merge(z)  # (G B, T, C)
        x = x + block.feedforward(block.norm2(x))
        with edits:
            for block in later:
                x = block(x)
        return cast(Tensor, model.head(model.norm(x)))


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
