"""Text in, text out.

Shapes: N tokens.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, tee
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headscope.generation.decode import decode
from headscope.generation.draft import draft
from headscope.generation.sampling import Sampling

if TYPE_CHECKING:
    from headscope.data.tokenizers import Tokenizer
    from headscope.model.transformer import LanguageModel

TOGETHER = 16  #: texts at most that are written at once: each has keys and values of its own


def opening(tokenizer: "Tokenizer") -> str:
    """Returns what text starts from without a prompt: a newline if the vocabulary has one, else its first word."""
    return tokenizer.decode([tokenizer.opening])


def prompt_ids(tokenizer: "Tokenizer", prompt: str) -> Tensor:
    """Returns the ids (N,) of a prompt, N ≥ 1: a prompt without tokens is replaced by the opening.

    To words, blanks are no tokens; to characters they are. Where every text begins with the same token, the prompt
    does too.

    Raises:
        UserError: the prompt has a token that the vocabulary lacks.
    """
    ids = tokenizer.encode(prompt)
    if tokenizer.start is not None and ids[:1].tolist() != [tokenizer.start]:
        return torch.cat((torch.tensor([tokenizer.start]), ids))
    return ids if len(ids) else torch.tensor([tokenizer.opening])


def write_text(
    model: "LanguageModel",
    tokenizer: "Tokenizer",
    prompt: str,
    max_new_tokens: int,
    sampling: Sampling,
    generator: torch.Generator,
) -> Iterator[str]:
    """Yields one text in pieces; see `write_texts`."""
    yield from write_texts(model, tokenizer, prompt, max_new_tokens, sampling, [generator])[0]


def write_texts(
    model: "LanguageModel",
    tokenizer: "Tokenizer",
    prompt: str,
    max_new_tokens: int,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
) -> list[Iterator[str]]:
    """Returns the pieces of as many texts as there are generators, none of which depends on the others.

    A text is the prompt as the tokenizer reads it, then the text of each token drawn, up to one that ends a text. The
    token that every text begins with is not written, nor is it where it ends one. The
    pieces joined are what decoding all ids at once gives; one is empty while a character is incomplete. Texts are
    written side by side, 16 at once, as far as the one that is asked for most has come.

    Args:
        model: in eval mode.
        tokenizer: the model's.
        prompt: what to continue; without tokens, the opening.
        max_new_tokens: how many tokens to draw for each text.
        sampling: how each token is drawn.
        generators: one a text, on the CPU.

    Raises:
        UserError: the prompt has a token that the vocabulary lacks, or (from a piece) the logits are not finite.
    """
    ids = prompt_ids(tokenizer, prompt)
    device = next(model.parameters()).device
    guess = draft(model) if len(generators) == 1 else None
    texts: list[Iterator[str]] = []
    for first in range(0, len(generators), TOGETHER):
        some = generators[first : first + TOGETHER]
        drawn = decode(model, ids.to(device).expand(len(some), -1), max_new_tokens, sampling, some, guess)
        texts += [_pieces(tokenizer, ids.tolist(), steps, row) for row, steps in enumerate(tee(drawn, len(some)))]
    return texts


def _pieces(tokenizer: "Tokenizer", prompt: list[int], steps: Iterator[list[int]], row: int) -> Iterator[str]:
    """Yields the text of a prompt, then that of one token of each step, up to one that ends a text."""
    prompt = prompt[1:] if prompt[0] == tokenizer.start else prompt

    def all_ids() -> Iterator[int]:
        yield from prompt
        for tokens in steps:
            if tokens[row] != tokenizer.end or tokenizer.end != tokenizer.start:
                yield tokens[row]
            if tokens[row] == tokenizer.end:
                return

    pieces = tokenizer.stream(all_ids())
    yield "".join(islice(pieces, len(prompt)))
    yield from pieces
