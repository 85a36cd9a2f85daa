"""The language model: embedding, pre-norm blocks, logits.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, V vocabulary, L layers.
"""

import copy
from collections.abc import Callable
from typing import Annotated, cast

from annotated_types import Ge, Lt
from torch import Tensor, nn

from headscope.model.attention import KVCache, MultiHeadAttention
from headscope.model.feedforward import GELU, FeedForward
from headscope.model.position import Position, Sinusoidal
from headscope.model.qk_norm import QKNorm


class LanguageModel(nn.Module):
    """The interface that training, generation and checkpoints use: maps ids (B, T) to logits (B, T, V), T ≤ block_size.

    Every argument of a constructor is kept as an attribute of the same name, because checkpoints store it.
    """

    vocab_size: int
    block_size: int


class Block(nn.Module):
    """Adds attention(norm(x)) to x, and then feed-forward(norm(x)) (pre-norm: Xiong et al. 2020).

    Dropout is applied to the outputs of attention and feed-forward. `position`, `feedforward` and `qk_norm` are the
    layer's own modules; by default, the feed-forward network is GELU, and queries and keys are not normalised.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        dropout: float,
        position: Position,
        feedforward: FeedForward | None = None,
        qk_norm: QKNorm | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(d_model)
        self.attention = MultiHeadAttention(d_model, n_heads, position, qk_norm)
        self.norm2 = nn.LayerNorm(d_model)
        self.feedforward = feedforward or GELU(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """Maps (B, T, C) to (B, T, C)."""
        x = x + self.dropout(self.attention(self.norm1(x), cache))
        return cast(Tensor, x + self.dropout(self.feedforward(self.norm2(x))))


class TransformerLM(LanguageModel):
    """A decoder-only transformer as in Part 4 (`docs/PART4.md`): LayerNorm, no attention biases, untied output layer.

    Matrices are initialised with N(0, 1/fan-in). The output layer `head` and the layers that write into the residual
    stream start at zero, so the first loss is ln V and every block starts as the identity (Zhang et al. 2019, Fixup).

    Args:
        vocab_size, d_model, n_heads, n_layers, block_size: V, C, H, L, and the longest sequence T. H divides C.
        dropout: probability, for the embedding and for the outputs of attention and feed-forward.
        position: constructor of the positional scheme, called with C, H, T and the layer's index (embedding: None).
        feedforward: constructor of the feed-forward network, called with C.
        qk_norm: constructor of the normalisation of queries and keys.

    Raises ValueError if H does not divide C, or if the positional scheme cannot use this width.
    """

    def __init__(
        self,
        vocab_size: Annotated[int, Ge(1)],
        d_model: Annotated[int, Ge(1)],
        n_heads: Annotated[int, Ge(1)],
        n_layers: Annotated[int, Ge(1)],
        block_size: Annotated[int, Ge(1)],
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        position: Callable[[int, int, int, int | None], Position] = Sinusoidal,
        feedforward: Callable[[int], FeedForward] = GELU,
        qk_norm: Callable[[], QKNorm] = QKNorm,
    ) -> None:
        super().__init__()
        if d_model % n_heads:
            allowed = ", ".join(str(h) for h in range(1, min(d_model, 128) + 1) if d_model % h == 0)
            raise ValueError(f"{n_heads} heads do not divide the width d_model={d_model}; these do: {allowed}")
        self.vocab_size, self.d_model, self.n_heads = vocab_size, d_model, n_heads
        self.n_layers, self.block_size, self.dropout = n_layers, block_size, dropout
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.position = position(d_model, n_heads, block_size, None)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(d_model, n_heads, dropout, position(d_model, n_heads, block_size, i), feedforward(d_model), qk_norm())
            for i in range(n_layers)
        )
        for block in self.layers():
            block.attention.position.share(self.layers()[0].attention.position)
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, vocab_size)
        self.apply(self._init)
        for module in (self.head, *(m for b in self.layers() for m in (b.attention.out, b.feedforward.down))):
            nn.init.zeros_(module.weight)

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def layers(self) -> list[Block]:
        """Returns the blocks as a typed list."""
        return cast(list[Block], list(self.blocks))

    @property
    def feedforward(self) -> FeedForward:
        """The feed-forward network of the first layer; checkpoints store its class, which all layers share."""
        return self.layers()[0].feedforward

    @property
    def qk_norm(self) -> QKNorm:
        """The QK norm of the first layer; checkpoints store its class, which all layers share."""
        return self.layers()[0].attention.qk_norm

    def new_cache(self) -> list[KVCache]:
        """Returns an empty cache for each layer, for decoding up to block_size tokens."""
        return [KVCache(self.block_size) for _ in self.blocks]

    def embed(self, ids: Tensor, offset: int = 0) -> Tensor:
        """Maps ids (B, T) to the residual stream before the first block, (B, T, C).

        Raises ValueError if the last position is beyond block_size.
        """
        if offset + ids.shape[1] > self.block_size:
            raise ValueError(f"{offset + ids.shape[1]} tokens do not fit the context: block_size={self.block_size}")
        return cast(Tensor, self.drop(self.position.embed(self.embedding(ids), offset)))

    def forward(self, ids: Tensor, cache: list[KVCache] | None = None) -> Tensor:
        """Maps ids (B, T) to logits (B, T, V). With a cache, ids are the tokens after the cached ones."""
        x = self.embed(ids, cache[0].seen if cache else 0)  # (B, T, C)
        for layer, block in enumerate(self.blocks):
            x = block(x, cache[layer] if cache else None)
        return cast(Tensor, self.head(self.norm(x)))

    def stretched(self, block_size: int, method: str = "as trained") -> "TransformerLM":
        """Returns a copy with the same weights for sequences of up to block_size tokens.

        `method` is one of the positional scheme's `extension_methods`. Raises ValueError as `Position.stretch` does.
        """
        longer = copy.deepcopy(self)
        longer.block_size = block_size
        for module in longer.modules():
            if isinstance(module, Position):
                module.stretch(block_size, method)
        return longer
