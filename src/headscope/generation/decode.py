"""The loop that draws one token after another, for several texts at once.

With a draft (`draft.py`) it goes faster. The draft guesses some tokens, one after the other, and the model reads them
all in one pass. Both draw by the same random numbers. As far as the model draws what was guessed, its tokens are
written, sooner than one by one; the first that differs is replaced by the model's own, and the rest is forgotten. So a
draft decides over the time and never over the text (for greedy decoding: Stern et al. 2018, section 3).

Shapes: B texts, N tokens of a prompt, T positions (at most block_size), n tokens side by side, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from headscope.generation.bare import bare
from headscope.generation.sampling import Draws, Sampling

if TYPE_CHECKING:
    from headscope.model.transformer import LanguageModel

AHEAD = 32  #: tokens that are guessed before the model looks at them


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
    model: "LanguageModel",
    prompts: Tensor,
    max_new_tokens: int,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    draft: "LanguageModel | None" = None,
) -> Iterator[list[int]]:
    """Draws tokens, and yields one of each text, (B,), as soon as they are known.

    What is drawn for a text depends on the model, its prompt and its generator alone, up to the rounding of sums: not
    on the texts beside it, nor on the draft.

    Args:
        model: in eval mode. With `new_cache` it reads every token once per context, without it the context each time.
        prompts: ids (B, N), N ≥ 1; N may exceed the block size.
        max_new_tokens: how many tokens to draw for each text.
        sampling: how each token is drawn.
        generators: one a text, on the CPU: a seed draws the same on every device.
        draft: a quicker model that reads and fills the same cache.

    Raises:
        UserError: the logits are not finite.
    """
    read = bare(model)
    guess = draft or read
    new_cache = getattr(model, "new_cache", None)
    cache = [new_cache()] if new_cache else []  # what else a model is called with
    draw = Draws(sampling, generators)
    length, end = prompts.shape[1], prompts.shape[1] + max_new_tokens
    ids = torch.cat((prompts, prompts.new_zeros(len(prompts), max_new_tokens)), 1)  # (B, N + max_new_tokens)
    start = -1
    while length < end:
        begin = context_start(length, model.block_size)
        anew, start = begin != start or not cache, begin
        first = begin if anew else length - 1  # those before it are in the cache
        guessed = length if anew or not draft else min(length + AHEAD, end - 1, begin + model.block_size)
        for at in range(length, guessed):
            ids[:, at : at + 1] = draw(guess(ids[:, at - 1 : at], *cache), at - length)
        _rewind(cache, first - begin)
        logits = read(ids[:, first:guessed], *cache)[:, length - guessed - 1 :]  # (B, n, V), n - 1 were guessed
        drawn = draw(logits, 0)  # (B, n)
        right = drawn[:, :-1] == ids[:, length:guessed].to(drawn)
        new = drawn[:, : int(right.all(0).cumprod(0).sum()) + 1]  # up to the first wrong guess of any text
        ids[:, length : length + new.shape[1]] = new
        length += new.shape[1]
        draw.advance(new.shape[1])
        _rewind(cache, length - 1 - begin)
        yield from new.T.tolist()


def _rewind(cache: list[Any], seen: int) -> None:
    """Forgets all but the first positions that a cache holds."""
    for layer in cache[0] if cache else ():
        layer.seen = seen
