"""Texts to look at heads on.

Shapes: B texts, T positions.
"""

import torch
from torch import Tensor

from headscope.heads.scores import earlier_equals


def repeated_probe(vocab_size: int, block_size: int, n: int, seed: int = 0) -> Tensor:
    """Random tokens, repeated: ids (n, T), T = block_size, in each text with a period of its own.

    Whoever knows the period, or looks for the earlier occurrence, can foresee all that follows the first period. The
    periods, above a quarter of the text and up to half of it, all differ as long as there are enough of them, and none
    is twice another: no fixed distance suits two of them, and a text's neighbour is a control.

    Args:
        vocab_size: V; tokens are drawn evenly.
        block_size: T, 4 at least.
        n: texts.
        seed: the same seed gives the same texts on every machine.

    Raises:
        ValueError: a text too short to hold a period twice.
    """
    if block_size < 4:
        raise ValueError(f"a repeated text needs 4 tokens at least, not {block_size}")
    random = torch.Generator().manual_seed(seed)
    shortest, longest = block_size // 4 + 1, block_size // 2
    lengths = longest - shortest + 1
    rounds = [torch.randperm(lengths, generator=random) for _ in range(-(-n // lengths))]
    periods = torch.cat(rounds)[:n] + shortest
    tokens = torch.randint(vocab_size, (n, block_size // 2), generator=random)
    return tokens.gather(1, torch.arange(block_size) % periods[:, None])


def foreseeable(ids: Tensor) -> Tensor:
    """Targets that an induction head can foresee: (B, T - 1), of ids (B, T).

    True at t where some earlier token equal to token t was followed by what follows token t.
    """
    same = earlier_equals(ids)  # (B, T, T)
    return (same[:, :-1, :-1] & same[:, 1:, 1:]).any(-1)
