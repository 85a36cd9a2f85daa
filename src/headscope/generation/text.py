"""From a prompt to a continued text, or to the most likely next tokens.

Shapes: N tokens, T positions, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, tee
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headscope.generation.decode import context_start, decode
from headscope.generation.fast_copies import draft
from headscope.generation.sampling import Sampling, finite

if TYPE_CHECKING:
    from headscope.data.tokenizers import Tokenizer
    from headscope.model.transformer import LanguageModel

TEXTS_AT_ONCE = 16  #: maximum number of texts written at once, because each needs memory for its keys and values


def opening(tokenizer: "Tokenizer") -> str:
    """Returns the text that replaces an empty prompt: a newline, or else the first token that is not special."""
    return tokenizer.decode([tokenizer.opening])


def prompt_ids(tokenizer: "Tokenizer", prompt: str) -> Tensor:
    """Returns the ids (N,) of a prompt, N ≥ 1: a prompt without tokens is replaced by the opening.

    A prompt of spaces has tokens for a character tokenizer, but none for a word tokenizer. If all texts of a tokenizer
    start with the same token, the prompt starts with this token too. Raises UserError if the vocabulary lacks a token.
    """
    ids = tokenizer.encode(prompt)
    if tokenizer.start is not None and ids[:1].tolist() != [tokenizer.start]:
        return torch.cat((torch.tensor([tokenizer.start]), ids))
    return ids if len(ids) else torch.tensor([tokenizer.opening])


def write_texts(
    model: "LanguageModel",
    tokenizer: "Tokenizer",
    prompt: str,
    max_new_tokens: int,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
) -> list[Iterator[str]]:
    """Returns one iterator per generator, which yields a text piece by piece. The texts do not depend on each other.

    The first piece is the prompt as the tokenizer reads it. Each further piece is the text of one drawn token. Joined,
    the pieces equal the text of all ids decoded at once; a piece is empty while a character is incomplete. A text ends
    after the tokenizer's end token, if it has one. An end token that is also the start token is not written.
    Up to 16 texts are computed together; a step is computed when the first of them needs it. The model is in eval mode,
    the generators are on the CPU, and a prompt without tokens is replaced by the opening.

    Raises UserError if the prompt has a token that the vocabulary lacks, or, on iteration, if logits are not finite.
    """
    ids = prompt_ids(tokenizer, prompt)
    device = next(model.parameters()).device
    draft_model = draft(model) if len(generators) == 1 else None
    texts: list[Iterator[str]] = []
    for first in range(0, len(generators), TEXTS_AT_ONCE):
        group = generators[first : first + TEXTS_AT_ONCE]
        drawn = decode(model, ids.to(device).expand(len(group), -1), max_new_tokens, sampling, group, draft_model)
        texts += [_pieces(tokenizer, ids.tolist(), steps, row) for row, steps in enumerate(tee(drawn, len(group)))]
    return texts


def _pieces(tokenizer: "Tokenizer", prompt: list[int], steps: Iterator[list[int]], row: int) -> Iterator[str]:
    """Yields the text of a prompt, then the text of one token per step, until the end token."""
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


@torch.inference_mode()
def next_tokens(model: "LanguageModel", tokenizer: "Tokenizer", prompt: str, limit: int) -> list[tuple[str, float]]:
    """Returns up to `limit` next tokens with their probabilities at temperature 1, the most likely first.

    Raises UserError if the prompt has a token that the vocabulary lacks, or if the logits are not finite.
    """
    ids = prompt_ids(tokenizer, prompt)
    ids = ids[context_start(len(ids), model.block_size) :].to(next(model.parameters()).device)
    p = finite(model(ids[None])[0, -1]).double().softmax(-1)  # (V,)
    top = p.sort(descending=True, stable=True)  # stable: tokens with equal probability stay in the order of their ids
    ranked = zip(top.values[:limit].tolist(), top.indices[:limit].tolist(), strict=True)
    return [(tokenizer.show(i), q) for q, i in ranked]
