"""The texts on which heads are described.

A run keeps `TEXTS` passages of its validation text in its checkpoints. Every command, picture and file describes heads
on those passages and on as many repeated random texts.

Shapes: B texts, T positions.
"""

import torch
from torch import Tensor

from headscope.heads.scores import earlier_equals

TEXTS = 5  #: passages, and as many repeated random texts; describing heads on 5 costs about 4% of training `nano`
LONGEST = 64  #: tokens of each, at most


def repeated_probe(vocab_size: int, block_size: int, n: int, seed: int = 0) -> Tensor:
    """Returns random tokens, repeated: ids (n, T) with T = block_size. Each text has its own period.

    A model that copies from one period earlier can predict every token after the first period; so can an induction
    head, which looks up the earlier occurrence of the current token. Periods are longer than a quarter of the text and
    at most half of it, and all different while there are enough of them. None is twice another, so no fixed distance
    suits two texts, and one text is a control for another. Tokens are drawn uniformly from `vocab_size`; the same seed
    gives the same texts on every machine.

    Raises:
        ValueError: the texts have fewer than 4 tokens, too few to contain a period twice.
    """
    if block_size < 4:
        raise ValueError(f"a repeated text needs at least 4 tokens, not {block_size}")
    random = torch.Generator().manual_seed(seed)
    shortest, longest = block_size // 4 + 1, block_size // 2
    lengths = longest - shortest + 1
    rounds = [torch.randperm(lengths, generator=random) for _ in range(-(-n // lengths))]
    periods = torch.cat(rounds)[:n] + shortest
    tokens = torch.randint(vocab_size, (n, block_size // 2), generator=random)
    return tokens.gather(1, torch.arange(block_size) % periods[:, None])


def foreseeable(ids: Tensor) -> Tensor:
    """Returns which targets of ids (B, T) an induction head can predict: bool (B, T - 1).

    True at t if an earlier token equal to token t was followed by the token that follows t.
    """
    same = earlier_equals(ids)  # (B, T, T)
    return (same[:, :-1, :-1] & same[:, 1:, 1:]).any(-1)
