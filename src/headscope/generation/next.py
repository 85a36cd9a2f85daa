"""The most likely next tokens.

Shapes: T positions, V vocabulary.
"""

from typing import TYPE_CHECKING

import torch

from headscope.generation.decode import context_start
from headscope.generation.sampling import finite
from headscope.generation.text import prompt_ids

if TYPE_CHECKING:
    from headscope.data.tokenizers import Tokenizer
    from headscope.model.transformer import LanguageModel


@torch.inference_mode()
def next_tokens(model: "LanguageModel", tokenizer: "Tokenizer", prompt: str, most: int) -> list[tuple[str, float]]:
    """Returns the most likely next tokens after a prompt with their probabilities at temperature 1.

    Args:
        model: ids (1, T) to logits (1, T, V).
        tokenizer: the model's.
        prompt: the text before the next token; a prompt without tokens is replaced by the opening.
        most: the largest number of tokens to return.

    Raises:
        UserError: the prompt has a token that the vocabulary lacks, or the logits are not finite.
    """
    ids = prompt_ids(tokenizer, prompt)
    ids = ids[context_start(len(ids), model.block_size) :].to(next(model.parameters()).device)
    p = finite(model(ids[None])[0, -1]).double().softmax(-1)  # (V,)
    top = p.sort(descending=True, stable=True)  # stable: tokens with equal probability stay in the order of their ids
    ranked = zip(top.values.tolist(), top.indices.tolist(), strict=True)
    return [(tokenizer.show(i), q) for q, i in list(ranked)[:most]]
