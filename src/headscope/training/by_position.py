"""The loss as a function of the tokens of context that a target has, also beyond the trained length.

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
    """Returns the mean loss at each position of adjacent windows of a text (N,), in nats per token, (T,) on the CPU.

    Position i has i + 1 tokens of context. Tokens at the end that do not fill a window are left out. The model must be
    in eval mode, with a context of at least T tokens.
    """
    windows = ids[: (len(ids) - 1) // t * t + 1].long().unfold(0, t + 1, t)  # (W, T + 1)
    return _losses(model, windows).mean(0)


@torch.no_grad()
def sliding(model: LanguageModel, ids: Tensor, contexts: Sequence[int], targets: int) -> Tensor:
    """Returns the mean loss of the same M targets with each number of tokens of context, in nats per token.

    The targets are spread evenly over the tokens of the text (N,) that have the longest context; there may be fewer
    than `targets`. The model must be in eval mode, with a context of at least the longest in `contexts`.
    """
    longest = max(contexts)
    places = torch.linspace(longest, len(ids) - 1, min(targets, len(ids) - longest), dtype=torch.float64).long()  # (M,)
    windows = (ids[places[:, None] + torch.arange(-t, 1)].long() for t in contexts)  # (M, T + 1) each
    return torch.stack([_losses(model, w)[:, -1].mean() for w in windows])


def _losses(model: LanguageModel, windows: Tensor) -> Tensor:
    """Returns the loss of each target in windows (W, T + 1): (W, T), float64 on the CPU."""
    losses = []
    for batch in torch.split(windows, max(BATCH // (windows.shape[1] - 1), 1)):
        batch = batch.to(next(model.parameters()).device)
        logits = model(batch[:, :-1]).float()  # (B, T, V)
        losses.append(F.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none").double().cpu())
    return torch.cat(losses)
