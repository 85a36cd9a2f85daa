"""A language model without attention, which predicts from the last K tokens only.

Shapes: B batch, T positions, C = d_model, K = context, V vocabulary.
"""

from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from headscope.model.transformer import LanguageModel


class FixedContextMLP(LanguageModel):
    """One hidden layer over the concatenated embeddings of the last K tokens (Bengio et al. 2003, section 2).

    Like a transformer, it predicts at every position, so both are trained and validated on the same windows. At the
    first positions, zeros replace the embeddings of missing tokens. `context` is K, `hidden` is the width of the
    hidden layer, and `block_size` is the longest sequence, T.
    """

    def __init__(
        self,
        vocab_size: Annotated[int, Ge(1)],
        context: Annotated[int, Ge(1)],
        d_model: Annotated[int, Ge(1)],
        hidden: Annotated[int, Ge(1)],
        block_size: Annotated[int, Ge(1)],
    ) -> None:
        super().__init__()
        self.vocab_size, self.context, self.d_model = vocab_size, context, d_model
        self.hidden, self.block_size = hidden, block_size
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.inner = nn.Linear(context * d_model, hidden)
        self.head = nn.Linear(hidden, vocab_size)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """Maps ids (B, T) to logits (B, T, V)."""
        x = F.pad(self.embedding(ids), (0, 0, self.context - 1, 0))  # (B, K - 1 + T, C)
        windows = x.unfold(1, self.context, 1).flatten(2)  # (B, T, C, K) to (B, T, C K)
        return cast(Tensor, self.head(torch.tanh(self.inner(windows))))
