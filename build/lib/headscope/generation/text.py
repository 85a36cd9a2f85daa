"""Text in, text out.

Shapes: N tokens.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headscope.generation.decode import decode
from headscope.generation.sampling import Sampling

if TYPE_CHECKING:
    from headscope.data.tokenizers import Tokenizer
    from headscope.model.transformer import LanguageModel


def opening(tokenizer: "Tokenizer") -> str:
    """Returns what text starts from without a prompt: a newline if the vocabulary has one, else its first word."""
    return tokenizer.decode([tokenizer.opening])


def prompt_ids(tokenizer: "Tokenizer", prompt: str) -> Tensor:
    """Returns the ids (N,) of a prompt, N ≥ 1: a prompt without tokens is replaced by the opening.

    To words, blanks are no tokens; to characters they are.

    Raises:
        UserError: the prompt has a token that the vocabulary lacks.
    """
    ids = tokenizer.encode(prompt)
    return ids if len(ids) else torch.tensor([tokenizer.opening])


def write_text(
    model: "LanguageModel",
    tokenizer: "Tokenizer",
    prompt: str,
    max_new_tokens: int,
    sampling: Sampling,
    generator: torch.Generator,
) -> Iterator[str]:
    """Yields the prompt as the tokenizer reads it, then the text of each token drawn, up to one that ends a text.

    The pieces joined are what decoding all ids at once gives; one is empty while a character is incomplete.

    Args:
        model: ids (1, T) to logits (1, T, V).
        tokenizer: the model's.
        prompt: what to continue; without tokens, the opening.
        max_new_tokens: how many tokens to draw.
        sampling: how each token is drawn.
        generator: on the CPU.

    Raises:
        UserError: the prompt has a token that the vocabulary lacks, or the logits are not finite.
    """
    ids = prompt_ids(tokenizer, prompt)

    def all_ids() -> Iterator[int]:
        yield from ids.tolist()
        drawn = decode(
            model,
            ids.to(next(model.parameters()).device),
            max_new_tokens,
            sampling,
            block_size=model.block_size,
            new_cache=getattr(model, "new_cache", None),
            generator=generator,
        )
        for i in drawn:
            yield i
            if i == tokenizer.end:
                return

    pieces = tokenizer.stream(all_ids())
    yield "".join(islice(pieces, len(ids)))
    yield from pieces
