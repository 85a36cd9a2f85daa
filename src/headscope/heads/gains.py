"""How much of a head's attention a pattern explains beyond what it explains for any head.

Shapes: N heads, K patterns, B texts, T positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from headscope.heads.patterns import Kind

RARE = 0.02  #: a pattern that explains a smaller share of all attention is left out of readable rules


def gains(shares: Tensor, rows: Tensor, kinds: Sequence[Kind]) -> Tensor:
    """Returns the gain of each pattern, (N, K), from shares (N, 1 + K), bool marks (K, B, T, T) and kinds.

    The gain is the pattern's share of the attention in the rows where it marks a key, so that a pattern that rarely
    marks a key can have a large one. If the pattern depends on the text, the gain is also multiplied by the share of
    the keys that the pattern leaves out: most of any head's attention is on letters if most tokens are letters.
    """
    marked = rows.sum(-1)  # (K, B, T)
    exists = (marked > 0).sum((1, 2)).clamp(min=1)
    chance = (marked / torch.arange(1, rows.shape[-1] + 1)).sum((1, 2)) / exists
    chance[[kind == "place" for kind in kinds]] = 0
    return shares[:, 1:] * (rows[0, ..., 0].numel() / exists) * (1 - chance)
