"""The loop that draws one token after another.

Shapes: N tokens of text, T positions (at most block_size), V vocabulary.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from headscope.generation.sampling import Sampling


def context_start(length: int, block_size: int) -> int:
    """Returns where the context of a text of `length` tokens begins.

    A full context drops its older half and fills up again. So no position ever reaches the block size, whatever the
    positional scheme, and the cache stays exact: it is rebuilt every block_size / 2 tokens.
    """
    step = max(block_size // 2, 1)
    over = length - block_size
    return 0 if over <= 0 else -(-over // step) * step


@torch.inference_mode()
def decode(
    model: Callable[..., Tensor],
    prompt: Tensor,
    max_new_tokens: int,
    sampling: Sampling,
    *,
    block_size: int,
    new_cache: Callable[[], Any] | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Draws tokens one at a time and yields each as it is drawn.

    Args:
        model: ids (1, T) to logits (1, T, V); a cache as second argument is extended.
        prompt: ids (N,), N ≥ 1; N may exceed the block size.
        max_new_tokens: how many tokens to draw.
        sampling: how each token is drawn.
        block_size: the longest context.
        new_cache: makes an empty cache; None computes every context from scratch.
        generator: on the CPU.

    Raises:
        UserError: the logits are not finite.
    """
    ids = prompt[None]  # (1, N), one longer with every token
    start, cache = -1, None
    for _ in range(max_new_tokens):
        begin = context_start(ids.shape[1], block_size)
        if new_cache is None:
            logits = model(ids[:, begin:])
        elif begin != start:
            start, cache = begin, new_cache()
            logits = model(ids[:, begin:], cache)
        else:
            logits = model(ids[:, -1:], cache)
        drawn = sampling.draw(logits[:, -1], generator).to(ids)  # (1,)
        ids = torch.cat((ids, drawn[:, None]), 1)
        yield int(drawn)
