"""The token loop.

Shapes: N tokens of text, T positions (at most block_size), V vocabulary.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from headscope.generation.sampling import Sampling


def context_start(length: int, block_size: int) -> int:
    """Where the context of a text of `length` tokens begins.

    A full context drops its older half and fills up again. So no position ever exceeds the block size, whatever the
    scheme, and the cache stays exact: it is rebuilt once in block_size / 2 tokens.
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
        model: ids (1, T) to logits (1, T, V), and with a second argument a cache that it extends.
        prompt: ids (N,), at least one, any number.
        max_new_tokens: how many to draw.
        sampling: how.
        block_size: the longest context.
        new_cache: makes an empty cache; None computes every context anew.
        generator: on the CPU.
    """
    ids = prompt[None]  # (1, N), and longer with every token
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
