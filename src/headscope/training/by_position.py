"""The loss by how many tokens of context a target has, also beyond the length that a model was trained on.

Shapes: N tokens of a text, W windows, T positions, M targets.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from headscope.model.transformer import LanguageModel

BATCH = 16_384  #: tokens in one forward pass


@torch.no_grad()
def non_overlapping(model: LanguageModel, ids: Tensor, t: int) -> Tensor:
    """The mean loss at each position of windows that lie side by side: that at place i has i + 1 tokens of context.

    Args:
        model: in eval mode, reading at least t tokens.
        ids: the text, (N,), N > t; what does not fill a window at its end is left out.
        t: T.

    Returns:
        Nats per token, (T,), over W = (N - 1) // T windows; the place of the model's weights.
    """
    windows = ids[: (len(ids) - 1) // t * t + 1].long().unfold(0, t + 1, t)  # (W, T + 1)
    sums = torch.zeros(t, dtype=torch.float64)
    for some in torch.split(windows, max(BATCH // t, 1)):
        sums += _losses(model, some).sum(0)
    return sums / len(windows)


@torch.no_grad()
def sliding(model: LanguageModel, ids: Tensor, contexts: Sequence[int], targets: int) -> Tensor:
    """The mean loss of the same targets, each with exactly as many tokens of context as named.

    Args:
        model: in eval mode, reading as many tokens as the longest context.
        ids: the text, (N,).
        contexts: numbers of tokens.
        targets: M, spread evenly over the text from the first that has the longest context; all of them if fewer.

    Returns:
        Nats per token, (len(contexts),), over M targets.
    """
    longest = max(contexts)
    places = torch.linspace(longest, len(ids) - 1, min(targets, len(ids) - longest), dtype=torch.float64).long()  # (M,)
    means = []
    for t in contexts:
        windows = ids[places[:, None] + torch.arange(-t, 1)].long()  # (M, T + 1)
        means.append(
            torch.cat([_losses(model, some)[:, -1] for some in torch.split(windows, max(BATCH // t, 1))]).mean()
        )
    return torch.stack(means)


def _losses(model: LanguageModel, windows: Tensor) -> Tensor:
    """Windows (W, T + 1) to the loss of each target, (W, T), float64 on the CPU."""
    windows = windows.to(next(model.parameters()).device)
    logits = model(windows[:, :-1]).float()  # (W, T, V)
    return F.cross_entropy(logits.transpose(1, 2), windows[:, 1:], reduction="none").double().cpu()
