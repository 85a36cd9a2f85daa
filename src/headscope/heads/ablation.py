"""How much the loss needs a head: by taking its output away, and by the gradient of a gate on it.

What takes the output's place decides what is asked. Zero asks for all that the head adds, a constant part included
that later layers may only expect to be there; the mean leaves that part and takes away what differs between tokens;
another text's output leaves what any text would bring.

Shapes: B texts, T positions, H heads, D head width, V vocabulary, L layers. Losses are those of the T - 1 targets that
the ids themselves hold.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from headscope.heads.activation_cache import ActivationCache
from headscope.heads.capture import Edit, Replace, Scale, capture, evaluating, heads_at, look
from headscope.model.transformer import TransformerLM

Ablation = Callable[[Tensor], Tensor]  #: outputs of the heads (L, B, H, T, D) to what takes their place, broadcast


def zero(z: Tensor) -> Tensor:
    """Zero ablation: nothing (Michel et al. 2019, section 2.2)."""
    return z.new_zeros(())


def mean(z: Tensor) -> Tensor:
    """Mean ablation: the head's mean output over texts and positions (L, 1, H, 1, D) (Wang et al. 2022)."""
    return z.mean((1, 3), keepdim=True)


def resample(z: Tensor) -> Tensor:
    """Resample ablation: the head's output at the same position of the next text of the batch (Chan et al. 2022).

    Raises:
        ValueError: one text alone, which has no other.
    """
    if z.shape[1] < 2:
        raise ValueError("resample ablation takes outputs from another text: give two texts at least, not one")
    return z.roll(1, 1)


def losses(logits: Tensor, ids: Tensor) -> Tensor:
    """Nats of every target in the ids themselves: logits (B, T, V) and ids (B, T) to (B, T - 1), in fp32 at least."""
    nats = torch.promote_types(logits.dtype, torch.float32)
    return F.cross_entropy(logits[:, :-1].to(nats).transpose(1, 2), ids[:, 1:], reduction="none")


def ablate(
    model: TransformerLM,
    ids: Tensor,
    heads: Sequence[tuple[int, int]],
    by: Ablation = mean,
    seen: ActivationCache | None = None,
) -> Tensor:
    """What each target's loss rises by without some heads, all taken away at once.

    Args:
        model: whose heads they are.
        ids: (B, T).
        heads: (layer, head) of each, from 0.
        by: `zero`, `mean` or `resample`.
        seen: `look(model, ids, "z")`, if it is known already.

    Returns:
        Nats (B, T - 1): with the heads replaced, minus without.
    """
    seen = look(model, ids, "z") if seen is None else seen
    edits: list[Edit] = [Replace("z", by(seen.z), heads_at(model, *heads))]
    return losses(look(model, ids, edits=edits).logits, ids) - losses(seen.logits, ids)


@torch.no_grad()
def ablate_groups(
    model: TransformerLM, ids: Tensor, layer: int, groups: Sequence[Sequence[int]], seen: ActivationCache
) -> Tensor:
    """Mean ablation of groups of one layer's heads, as `ablate` of one group after the other, but quick.

    All groups share a pass, and it begins at their layer: what comes before does not change.

    Args:
        model: whose heads they are.
        ids: (B, T).
        layer: from 0.
        groups: heads, from 0, that are taken away at once; G groups.
        seen: `look(model, ids, "z", "resid")`.

    Returns:
        Nats (G, B, T - 1): what each target's loss rises by without each group.
    """
    g, b = len(groups), len(ids)
    where = torch.zeros(model.n_layers, g, b, model.n_heads, 1, dtype=torch.bool, device=ids.device)
    for i, heads in enumerate(groups):
        where[layer, i, :, list(heads)] = True
    edit = Replace("z", mean(seen.z), where.flatten(1, 2))  # (L, G B, H, 1)
    with evaluating(model), capture(model, edits=[edit]):
        x = seen.resid[layer].repeat(g, 1, 1)  # (G B, T, C)
        for block in model.layers()[layer:]:
            x = block(x)
        logits = model.head(model.norm(x))  # (G B, T, V)
    return losses(logits, ids.repeat(g, 1)).view(g, b, -1) - losses(seen.logits, ids)


def ablation_importance(model: TransformerLM, ids: Tensor, by: Ablation = mean, where: Tensor | None = None) -> Tensor:
    """What the mean loss rises by without each head alone: (L, H), in nats (Michel et al. 2019, section 3.2).

    Args:
        model: whose heads they are.
        ids: (B, T).
        by: `zero`, `mean` or `resample`.
        where: bool (B, T - 1), the targets that count; None is all.
    """
    seen = look(model, ids, "z")
    chosen = torch.ones_like(ids[:, 1:], dtype=torch.bool) if where is None else where
    each = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    rises = [ablate(model, ids, [at], by, seen)[chosen].mean() for at in each]
    return torch.stack(rises).view(model.n_layers, model.n_heads)


def gradient_importance(model: TransformerLM, ids: Tensor, where: Tensor | None = None) -> Tensor:
    """E|∂L/∂ξ_h|: the slope of a text's mean loss in a factor ξ_h = 1 on a head's output (Michel et al. 2019, eq. 2).

    The mean is over texts, of absolute slopes; one backward pass serves all heads and texts. No parameter's gradient
    changes, and it works under `torch.inference_mode`, too.

    Args:
        model: whose heads they are.
        ids: (B, T).
        where: bool (B, T - 1), the targets that count; None is all. A text without any is left out.

    Returns:
        (L, H), in nats.
    """
    with torch.inference_mode(False), torch.enable_grad():
        ids = ids.clone()  # one made in inference mode cannot be saved for a backward pass
        chosen = torch.ones_like(ids[:, 1:], dtype=torch.bool) if where is None else where.clone()
        gates = torch.ones(model.n_layers, len(ids), model.n_heads, device=ids.device, requires_grad=True)
        with evaluating(model), capture(model, edits=[Scale(gates)]):
            nats = losses(model(ids), ids)  # (B, T - 1)
        count = chosen.sum(1)  # (B,)
        means = (nats * chosen).sum(1)[count > 0] / count[count > 0]
        (slopes,) = torch.autograd.grad(means.sum(), gates)  # (L, B, H)
        return slopes[:, count > 0].abs().mean(1)
