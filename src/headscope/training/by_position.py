"""The loss as a function of the number of context tokens before a target, even beyond the trained length.

Shapes: N tokens of a text, W windows, T positions, M targets.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from headscope.model.transformer import LanguageModel

BATCH = 16_384  #: tokens in one forward pass


@torch.no_grad()
def non_overlapping_losses(model: LanguageModel, ids: Tensor, t: int) -> Tensor:
    """Returns the mean loss at each position over the adjacent windows of a text (N,), as (T,) in nats on the CPU.

    Position i has i + 1 tokens of context. Tokens at the end that do not fill a window are left out. The model must be
    in eval mode, with a context of at least T tokens.
    """
    windows = ids[: (len(ids) - 1) // t * t + 1].long().unfold(0, t + 1, t)  # (W, T + 1)
    return _losses(model, windows).mean(0)


@torch.no_grad()
def sliding_losses(model: LanguageModel, ids: Tensor, contexts: Sequence[int], targets: int) -> Tensor:
    """Returns the mean loss of the same M targets for each context length, in nats per token.

    M is `targets`, or less in a short text. The targets are spread evenly over the text (N,), except for its first
    tokens, which lack the longest context. The model must be in eval mode and allow the longest of the `contexts`.
    """
    longest = max(contexts)
    positions = torch.linspace(longest, len(ids) - 1, min(targets, len(ids) - longest), dtype=torch.float64).long()
    windows = (ids[positions[:, None] + torch.arange(-t, 1)].long() for t in contexts)  # (M, T + 1) each
    return torch.stack([_losses(model, w)[:, -1].mean() for w in windows])


def _losses(model: LanguageModel, windows: Tensor) -> Tensor:
    """Returns the loss of each target in windows (W, T + 1), as (W, T) in float64 on the CPU."""
    losses = []
    for batch in torch.split(windows, max(BATCH // (windows.shape[1] - 1), 1)):
        batch = batch.to(next(model.parameters()).device)
        logits = model(batch[:, :-1]).float()  # (B, T, V)
        losses.append(F.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none").double().cpu())
    return torch.cat(losses)
