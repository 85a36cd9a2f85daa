"""What may come next, and how likely it is.

Shapes: V vocabulary.
"""

from typing import TYPE_CHECKING

import torch

from headscope.generation.decode import context_start

if TYPE_CHECKING:
    from headscope.data.tokenizers import Tokenizer
    from headscope.model.transformer import LanguageModel


@torch.inference_mode()
def next_tokens(model: "LanguageModel", tokenizer: "Tokenizer", prompt: str, most: int) -> list[tuple[str, float]]:
    """The most likely next tokens after a prompt with their probabilities, which no temperature has changed.

    Args:
        model: ids (1, T) to logits (1, T, V).
        tokenizer: of the model.
        prompt: what stands before.
        most: how many at most.

    Raises:
        UserError: a token of the prompt that the vocabulary lacks.
    """
    ids = tokenizer.encode(prompt)
    ids = ids[context_start(len(ids), model.block_size) :]
    p = model(ids[None])[0, -1].double().softmax(-1)  # (V,)
    top = p.topk(min(most, len(p)))
    return [(tokenizer.show(i), float(q)) for q, i in zip(top.values, top.indices.tolist(), strict=True)]
