"""The language model: embedding, pre-norm blocks, logits.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, V vocabulary, L layers.
"""

import copy
from collections.abc import Callable
from typing import Annotated, Any, cast

from annotated_types import Ge, Lt
from torch import Tensor, nn

from headscope.model.attention import KVCache, MultiHeadAttention
from headscope.model.feedforward import GELU, FeedForward
from headscope.model.position import Position, Sinusoidal
from headscope.model.qk_norm import QKNorm


class LanguageModel(nn.Module):
    """What training, generation and checkpoints ask of a model: ids (B, T) to logits (B, T, V), T ≤ block_size.

    Every argument of a constructor is kept as an attribute of that name, so that a checkpoint can hold it.
    """

    vocab_size: int
    block_size: int

    def stretched(self, block_size: int, method: str = "as trained") -> "LanguageModel":
        """A copy with the same weights that reads up to `block_size` tokens, more than it was trained on.

        Args:
            block_size: in tokens.
            method: one of its positional scheme's `extension_methods`.

        Raises:
            ValueError: the model ends with its block size, with the reason.
        """
        raise ValueError(f"{type(self).__name__} reads {self.block_size} tokens and no more")

    def made_of(self) -> dict[str, Any] | None:
        """What the model is made of: numbers, tensors, lists and dicts that a program elsewhere can run it from.

        None: one of its parts is something else than such a program knows.
        """
        return None


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)) (pre-norm: Xiong et al. 2020).

    Args:
        d_model: C.
        n_heads: H.
        dropout: probability, on what each half adds.
        position: this layer's.
        feedforward: this layer's; None is Part 4's.
        qk_norm: this layer's; None leaves queries and keys as they are.
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
        """(B, T, C) to (B, T, C)."""
        x = x + self.dropout(self.attention(self.norm1(x), cache))
        return cast(Tensor, x + self.dropout(self.feedforward(self.norm2(x))))


class TransformerLM(LanguageModel):
    """A decoder-only transformer, as Part 4 builds it: LayerNorm, no bias in attention, an untied head.

    Initialisation is ours: matrices N(0, 1/fan-in), and zero for what writes into the residual stream and for the head,
    so that the first loss is ln V and every block starts as the identity (Zhang et al. 2019, Fixup).

    Args:
        vocab_size: V.
        d_model: C, the width of the residual stream.
        n_heads: H, a divisor of C.
        n_layers: L.
        block_size: the longest sequence, T.
        dropout: probability, on the embedding and on what each half of a block adds.
        position: constructor of a positional scheme.
        feedforward: constructor of a block's other half, given C.
        qk_norm: constructor of what is done to the length of queries and keys.

    Raises:
        ValueError: heads that do not divide the width; a width the scheme cannot use.
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
        for silent in (self.head, *(m for b in self.layers() for m in (b.attention.out, b.feedforward.down))):
            nn.init.zeros_(silent.weight)

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def layers(self) -> list[Block]:
        return cast(list[Block], list(self.blocks))

    @property
    def feedforward(self) -> FeedForward:
        """The kind that all layers have, for a checkpoint to name."""
        return self.layers()[0].feedforward

    @property
    def qk_norm(self) -> QKNorm:
        """The kind that all layers have, for a checkpoint to name."""
        return self.layers()[0].attention.qk_norm

    def new_cache(self) -> list[KVCache]:
        """An empty cache, one per layer, for decoding up to block_size tokens."""
        return [KVCache(self.block_size) for _ in self.blocks]

    def embed(self, ids: Tensor, offset: int = 0) -> Tensor:
        """Ids (B, T) to the stream before the first block, (B, T, C)."""
        if offset + ids.shape[1] > self.block_size:
            raise ValueError(f"{offset + ids.shape[1]} tokens do not fit the context: block_size={self.block_size}")
        return cast(Tensor, self.drop(self.position.embed(self.embedding(ids), offset)))

    def forward(self, ids: Tensor, cache: list[KVCache] | None = None) -> Tensor:
        """Ids (B, T) to logits (B, T, V). With a cache, ids are the tokens that follow those already seen."""
        x = self.embed(ids, cache[0].seen if cache else 0)  # (B, T, C)
        for layer, block in enumerate(self.blocks):
            x = block(x, cache[layer] if cache else None)
        return cast(Tensor, self.head(self.norm(x)))

    def stretched(self, block_size: int, method: str = "as trained") -> "TransformerLM":
        longer = copy.deepcopy(self)
        longer.block_size = block_size
        for module in longer.modules():
            if isinstance(module, Position):
                module.stretch(block_size, method)
        return longer

    def made_of(self) -> dict[str, Any] | None:
        order = self.position.made_of()
        layers = [
            (b, b.attention.position.made_of(), b.feedforward.made_of(), b.attention.qk_norm.made_of())
            for b in self.layers()
        ]
        if order is None or any(part is None for layer in layers for part in layer):
            return None
        return {
            "kind": "transformer",
            "sizes": {
                "vocabulary": self.vocab_size,
                "width": self.d_model,
                "heads": self.n_heads,
                "layers": self.n_layers,
                "context": self.block_size,
            },
            "embedding": self.embedding.weight,
            "table": order.table,
            "layers": [
                {
                    "norm1": _norm(block.norm1),
                    "qkv": block.attention.qkv.weight,
                    "qk_norm": None if length is None or length.eps is None else {"eps": length.eps},
                    "cos_sin": place.cos_sin if place else None,
                    "bias": place.bias if place else None,
                    "scale": place.scale if place else None,
                    "out": block.attention.out.weight,
                    "norm2": _norm(block.norm2),
                    "feedforward": {"width": len(between.up)} | vars(between) if between else None,
                }
                for block, place, between, length in layers
            ],
            "norm": _norm(self.norm),
            "head": {"weight": self.head.weight, "bias": self.head.bias},
        }


def _norm(norm: nn.LayerNorm) -> dict[str, Any]:
    return {"weight": norm.weight, "bias": norm.bias, "eps": norm.eps}
