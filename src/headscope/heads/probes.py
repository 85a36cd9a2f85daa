"""The texts on which heads are described.

A run chooses `TEXTS` passages of its validation text once and keeps them in its checkpoints. All commands, pictures and
files describe heads on these passages and on the same number of repeated random texts.

Shapes: B texts, T positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from headscope.heads.scores import earlier_equals

#: Number of passages and of repeated random texts. With 5, describing heads takes 4% of the training time of `nano`.
TEXTS = 5
FITTED, MEASURED = (
    512,
    64,
)  #: number of training texts to which rules are fitted, and of held-out texts that measure them
LONGEST = 64  #: maximum tokens per text


def repeated_probe(vocab_size: int, block_size: int, n: int, seed: int = 0, special: Sequence[int] = ()) -> Tensor:
    """Returns n texts of repeated random tokens: ids (n, T) with T = block_size. Each text has its own period.

    An induction head finds the earlier occurrence of the current token, and copies the token after it. It can therefore
    predict every token after the first period, except the first of them. A head that copies from a fixed distance can
    predict only texts whose period is this distance. No period is a multiple of another, because each is more than
    a quarter of the text and at most half of it. If n is at most the number of possible periods, all periods differ, so
    that one text can be a control for another. Tokens are drawn uniformly from the vocabulary without the `special`
    ids (`Tokenizer.special`), or from all ids if fewer than two would remain. The first two tokens of a text differ,
    because a sink divides its weight among equal first tokens. The same seed gives the same texts on every machine.

    Raises:
        ValueError: block_size is less than 4.
    """
    if block_size < 4:
        raise ValueError(f"a repeated text needs at least 4 tokens, not {block_size}")
    random = torch.Generator().manual_seed(seed)
    shortest, longest = block_size // 4 + 1, block_size // 2
    lengths = longest - shortest + 1
    rounds = [torch.randperm(lengths, generator=random) for _ in range(-(-n // lengths))]
    periods = torch.cat(rounds)[:n] + shortest
    is_ordinary = torch.ones(vocab_size, dtype=torch.bool)
    is_ordinary[list(special)] = False
    ordinary = is_ordinary.nonzero().flatten() if is_ordinary.sum() > 1 else torch.arange(vocab_size)
    tokens = torch.randint(len(ordinary), (n, block_size // 2), generator=random)  # indices of `ordinary`
    if len(ordinary) > 1:
        others = tokens[:, 0] + torch.randint(1, len(ordinary), (n,), generator=random)
        is_doubled = tokens[:, 1] == tokens[:, 0]
        tokens[:, 1] = torch.where(is_doubled, others % len(ordinary), tokens[:, 1])
    return ordinary[tokens].gather(1, torch.arange(block_size) % periods[:, None])


def predictable(ids: Tensor) -> Tensor:
    """Returns a mask of the targets of ids (B, T) that an induction head can predict: bool (B, T - 1).

    The mask is True at t if the pair of tokens t and t + 1 also occurs earlier in the text.
    """
    same = earlier_equals(ids)  # (B, T, T)
    return (same[:, :-1, :-1] & same[:, 1:, 1:]).any(-1)
