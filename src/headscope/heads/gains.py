"""Which patterns can be told apart on some texts, and how much of a head's attention a pattern explains.

Shapes: N heads, K patterns, B texts, T positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from headscope.heads.patterns import Kind

RARE = 0.02  #: a pattern that explains a smaller share of all attention is left out of readable rules
SAME = 0.05  #: two patterns are the same on some texts if their keys differ in a smaller share of the rows
COMPARED = 64  #: maximum number of texts on which patterns are compared


def distinct(rows: Tensor) -> Tensor:
    """Returns which patterns differ from all patterns before them, bool (K,), for bool marks (K, B, T, T).

    In a text without spaces and newlines, for example, the first token is also the start of the word and of the line.
    The fit would divide the weight of a head on the first token among these patterns. Patterns without a key in any
    row are not distinct.
    """
    rows = rows[:, :COMPARED].flatten(1, 2)  # (K, rows, T)
    has_key = rows.any(-1)
    found: list[int] = []
    for k in range(len(rows)):
        differs = ((rows[k] != rows[j]).any(-1).sum() >= SAME * (has_key[k] | has_key[j]).sum() for j in found)
        if has_key[k].any() and all(differs):
            found.append(k)
    return torch.isin(torch.arange(len(rows)), torch.tensor(found))


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
    return shares[:, 1:] * (rows.shape[1] * rows.shape[2] / exists) * (1 - chance)
