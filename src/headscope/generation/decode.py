"""The loop that draws one token after another, for several texts at once.

A draft model (`fast_copies.draft`) makes the loop faster. The draft guesses some tokens, one after another, and the
model reads all of them in one pass. Model and draft draw with the same random numbers. Guesses are accepted until one
differs from the token that the model draws. The model's token replaces this guess, and later guesses are discarded. The
draft therefore affects speed only; the text does not change (for greedy decoding: Stern et al. 2018, section 3).

Shapes: B texts, N tokens of a prompt, T positions (at most block_size), n consecutive tokens, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from headscope.generation.fast_copies import fast_copy
from headscope.generation.sampling import Draws, Sampling

if TYPE_CHECKING:
    from headscope.model.transformer import LanguageModel

MAX_GUESSES = 32  #: maximum number of tokens that the draft guesses before the model checks them


def context_start(length: int, block_size: int) -> int:
    """Returns the position at which the context of a text of `length` tokens starts.

    A full context drops its older half. Positions therefore stay below the block size for every positional scheme, and
    the cache stays exact, because it is rebuilt every block_size / 2 tokens.
    """
    step = max(block_size // 2, 1)
    excess = length - block_size
    return 0 if excess <= 0 else -(-excess // step) * step


@torch.inference_mode()
def decode(
    model: "LanguageModel",
    prompts: Tensor,
    max_new_tokens: int,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    draft: "LanguageModel | None" = None,
) -> Iterator[list[int]]:
    """Draws tokens, and yields the next tokens of the B texts as soon as they are known.

    The tokens of a text depend only on the model, the prompt and the generator of this text, up to rounding of sums.
    They do not depend on the other texts or on the draft.

    Args:
        model: in eval mode; reads each token once if it has a method `new_cache`, else the whole context each time.
        prompts: ids (B, N), N ≥ 1; N may exceed the block size.
        max_new_tokens: the number of tokens to draw for each text.
        sampling: the options for drawing tokens.
        generators: one per text, on the CPU, so that a seed draws the same tokens on every device.
        draft: a faster model that uses the same cache.

    Raises:
        UserError: on iteration, if the logits are not finite.
    """
    read = fast_copy(model)
    guess = draft or read
    new_cache = getattr(model, "new_cache", None)
    cache = [new_cache()] if new_cache else []  # the second argument of `forward`, if there is one
    draw = Draws(sampling, generators)
    length, end = prompts.shape[1], prompts.shape[1] + max_new_tokens
    ids = torch.cat((prompts, prompts.new_zeros(len(prompts), max_new_tokens)), 1)  # (B, N + max_new_tokens)
    cached_from = -1  # the position at which the context in the cache starts
    while length < end:
        begin = context_start(length, model.block_size)
        rebuild, cached_from = begin != cached_from or not cache, begin
        first = begin if rebuild else length - 1  # earlier tokens of the context are in the cache
        stop = length if rebuild or not draft else min(length + MAX_GUESSES, end - 1, begin + model.block_size)
        for at in range(length, stop):
            ids[:, at : at + 1] = draw(guess(ids[:, at - 1 : at], *cache), at - length)
        _truncate(cache, first - begin)
        logits = read(ids[:, first:stop], *cache)[:, length - stop - 1 :]  # (B, n, V), for n - 1 guesses
        drawn = draw(logits, 0)  # (B, n)
        correct = drawn[:, :-1] == ids[:, length:stop].to(drawn)
        new = drawn[:, : int(correct.all(0).cumprod(0).sum()) + 1]  # up to the first wrong guess in any text
        ids[:, length : length + new.shape[1]] = new
        length += new.shape[1]
        draw.advance(new.shape[1])
        _truncate(cache, length - 1 - begin)
        yield from new.T.tolist()


def _truncate(cache: list[Any], length: int) -> None:
    """Keeps only the first `length` positions of a cache."""
    for layer in cache[0] if cache else ():
        layer.seen = length
