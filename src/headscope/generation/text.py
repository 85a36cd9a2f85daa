"""Text in, text out: what decoding looks like to a person."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from headscope.errors import UserError
from headscope.generation.decode import decode
from headscope.generation.sampling import Sampling

if TYPE_CHECKING:
    from headscope.data.tokenizers import Tokenizer
    from headscope.model.transformer import LanguageModel

BROKEN = "\N{REPLACEMENT CHARACTER}"  #: what bytes decode to that are no whole character
LONGEST = 4  #: bytes of a character


def opening(tokenizer: "Tokenizer") -> str:
    """What to begin with where no prompt is given: a new line if the vocabulary has one, else its first token."""
    try:
        tokenizer.encode("\n")
    except UserError:
        return tokenizer.show(0)
    return "\n"


def write_text(
    model: "LanguageModel",
    tokenizer: "Tokenizer",
    prompt: str,
    max_new_tokens: int,
    sampling: Sampling,
    generator: torch.Generator,
) -> Iterator[str]:
    """Yields the prompt as the tokenizer reads it, then the text of each token drawn, up to one that ends a text.

    Raises:
        UserError: a token of the prompt that the vocabulary lacks.
    """
    ids = tokenizer.encode(prompt if prompt.strip(" ") else opening(tokenizer))
    yield tokenizer.decode(ids.tolist())
    tail = ids[-1:].tolist()  # what stands before the next text, and tokens that are no whole character yet
    said = tokenizer.decode(tail)
    device = next(model.parameters()).device
    new_cache = getattr(model, "new_cache", None)
    for drawn in decode(
        model,
        ids.to(device),
        max_new_tokens,
        sampling,
        block_size=model.block_size,
        new_cache=new_cache,
        generator=generator,
    ):
        # Behind its neighbour, because words are joined by what stands between them.
        tail.append(drawn)
        text = tokenizer.decode(tail)
        if text.endswith(BROKEN) and len(tail) <= LONGEST:
            continue
        yield text[len(said) :]
        tail, said = [drawn], tokenizer.decode([drawn])
        if drawn == tokenizer.end:
            return
    if len(tail) > 1:
        yield tokenizer.decode(tail)[len(said) :]
