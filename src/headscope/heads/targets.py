"""Kinds of targets: which predictions a head may help with.

Shapes: B texts, T positions; the masks of targets are bool (B, T - 1), at t for the target t + 1.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from headscope.heads.costs import ERRORS, mean_and_error
from headscope.heads.patterns import Text

CLEAR = 1.5  #: a kind of target stands out if its loss rises by this many times the mean rise, and by `ERRORS`
RARE = 0.01  #: a kind of target with a smaller share of the targets does not count
ORDINALS = ("first", "second", "third", "fourth", "fifth")


def kinds_of_targets(text: Text, unit: str) -> dict[str, Tensor]:
    """Returns the targets of each kind: tokens of each class, and the first, second … token of a word."""
    kinds = {f"{name}s": text.members(name)[:, 1:] for name in text.vocabulary.classes}
    word = text.vocabulary.words.to(text.ids.device)[text.ids]  # (B, T)
    inside = torch.where(word & (text.word_start >= 0), text.position - text.word_start, -1)
    for i, ordinal in enumerate(ORDINALS):
        kinds[f"the {ordinal} {unit} of a word"] = (inside == i)[:, 1:]
    kinds[f"the sixth or a later {unit} of a word"] = (inside >= len(ORDINALS))[:, 1:]
    if not any(mask.any() for name, mask in kinds.items() if "second" in name):  # each token is a word
        kinds = {name: mask for name, mask in kinds.items() if " of a word" not in name}
    return kinds


def most_raised(cost: Tensor, kinds: Mapping[str, Tensor]) -> str | None:
    """Returns the kind of target whose loss rises most without a head, or None if no kind stands out.

    `cost` is the rise of each target's loss, (B, T - 1), and `kinds` has the masks of the kinds.
    """
    clear = {}
    for kind, mask in kinds.items():
        if mask.sum() >= max(2, RARE * mask.numel()):
            rise, error = mean_and_error(cost[mask])
            if rise > CLEAR * cost.mean(1).mean().item() and rise > ERRORS * error:
                clear[kind] = rise
    return max(clear, key=clear.__getitem__) if clear else None
