"""Byte-pair tokens, by the `tokenizers` library, which is an extra.

Shapes: N tokens.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from headscope.data.tokenizers.base import Tokenizer
from headscope.errors import UserError


class BytePairTokenizer(Tokenizer):
    """Pieces of words: bytes, and what the most frequent pairs of pieces became (Sennrich et al. 2016, over bytes).

    Any text has ids. A line's end is a token of its own, so that text may be cut there.

    Args:
        vocab: the pieces, each byte written as one printable character as in GPT-2.
        merges: pairs of pieces with a space between, in the order in which they are joined.
    """

    def __init__(self, *, vocab: Sequence[str], merges: Sequence[str]) -> None:
        super().__init__(vocab=vocab)
        self.merges = list(merges)
        if not all(isinstance(pair, str) and pair.count(" ") == 1 for pair in self.merges):
            raise ValueError("a merge is two pieces")

    @classmethod
    def ready(cls) -> None:
        try:
            import tokenizers  # noqa: F401
        except ImportError as e:
            raise UserError(
                "byte pairs need the tokenizers library: pip install --editable '.[bpe]', or data.tokenizer=char"
            ) from e

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        from tokenizers.trainers import BpeTrainer

        engine = cls._engine_of([], [])
        trainer = BpeTrainer(vocab_size=vocab_size, initial_alphabet=_alphabet(), show_progress=False)
        engine.train_from_iterator((line for piece in pieces for line in lines(piece)), trainer)
        model = json.loads(engine.to_str())["model"]
        return cls(vocab=sorted(model["vocab"], key=model["vocab"].get), merges=[" ".join(m) for m in model["merges"]])

    @staticmethod
    def _engine_of(vocab: Sequence[str], merges: Sequence[str]) -> Any:
        from tokenizers import Tokenizer as Engine
        from tokenizers.decoders import ByteLevel as Bytes
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import ByteLevel, Split
        from tokenizers.pre_tokenizers import Sequence as InTurn

        pairs = [(first, second) for first, second in (merge.split(" ") for merge in merges)]
        engine = Engine(BPE({token: i for i, token in enumerate(vocab)}, pairs))
        engine.pre_tokenizer = InTurn([Split("\n", "isolated"), ByteLevel(add_prefix_space=False)])
        engine.decoder = Bytes()
        return engine

    @cached_property
    def _engine(self) -> Any:
        self.ready()
        return self._engine_of(self.vocab, self.merges)

    def encode(self, text: str) -> Tensor:
        encoded = self._engine.encode_batch_fast(list(lines(text)))  # in parallel
        return torch.tensor([i for line in encoded for i in line.ids], dtype=torch.int64)

    def decode(self, ids: Iterable[int]) -> str:
        text: str = self._engine.decode([int(i) for i in ids], skip_special_tokens=False)
        return text

    def show(self, i: int) -> str:
        return self.decode([i])

    @property
    def arguments(self) -> dict[str, Any]:
        return {"vocab": self.vocab, "merges": self.merges}


def lines(text: str) -> Iterator[str]:
    """Text in lines, each with its end: the library takes much memory for long pieces."""
    return (m[0] for m in re.finditer(r"[^\n]*\n|[^\n]+", text))


def _alphabet() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())
