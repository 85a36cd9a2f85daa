"""The byte-pair tokenizer, which needs the optional `tokenizers` library."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from headscope.data.tokenizers.base import Tokenizer
from headscope.errors import UserError
from headscope.installed import extra

PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
#: Maps each character in a token to the byte that it represents, as in GPT-2: printable Latin-1 characters represent
#: their own bytes, and the characters from U+0100 represent the other bytes in ascending order.
BYTES = {chr(byte): byte for byte in PRINTABLE} | {chr(256 + n): byte for n, byte in enumerate(OTHERS)}


class BytePairTokenizer(Tokenizer):
    """Byte-level BPE: a token is a byte, or joins two tokens that are often adjacent (Sennrich et al. 2016).

    Any text can be encoded. A newline is always a separate token, so that text can be cut there. In `vocab`, each byte
    is written as one printable character, as in GPT-2. Each item of `merges` is a pair of tokens separated by a space;
    the pairs are merged in this order.
    """

    split_rule = "byte pairs"

    def __init__(self, *, vocab: Sequence[str], merges: Sequence[str]) -> None:
        super().__init__(vocab=vocab)
        self.merges = list(merges)
        if not self._id.keys() >= BYTES.keys():
            raise ValueError("a byte-pair vocabulary must contain all 256 bytes")
        if not all(isinstance(pair, str) and pair.count(" ") == 1 for pair in self.merges):
            raise ValueError("each merge must be two tokens separated by a space")
        if not all({*pair.split(" "), pair.replace(" ", "")} <= self._id.keys() for pair in self.merges):
            raise ValueError("each merge must combine two tokens of the vocabulary into a token of the vocabulary")

    @classmethod
    def ready(cls) -> None:
        try:
            import tokenizers  # noqa: F401
        except ImportError as e:
            needed = f"byte pairs need the tokenizers library: {extra('bpe')}"
            raise UserError(f"{needed}, or use data.tokenizer=char") from e

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        from tokenizers.trainers import BpeTrainer

        engine = cls._engine_of([], [])
        trainer = BpeTrainer(vocab_size=vocab_size, initial_alphabet=sorted(BYTES), show_progress=False)
        engine.train_from_iterator((line for piece in pieces for line in lines(piece)), trainer)
        model = json.loads(engine.to_str())["model"]
        return cls(vocab=sorted(model["vocab"], key=model["vocab"].get), merges=[" ".join(m) for m in model["merges"]])

    @staticmethod
    def _engine_of(vocab: Sequence[str], merges: Sequence[str]) -> Any:
        from tokenizers import Tokenizer as Engine
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import ByteLevel, Split
        from tokenizers.pre_tokenizers import Sequence as Pipeline

        pairs = [(first, second) for first, second in (merge.split(" ") for merge in merges)]
        engine = Engine(BPE({token: i for i, token in enumerate(vocab)}, pairs))
        engine.pre_tokenizer = Pipeline([Split("\n", "isolated"), ByteLevel(add_prefix_space=False)])
        return engine

    @cached_property
    def _engine(self) -> Any:
        self.ready()
        return self._engine_of(self.vocab, self.merges)

    def encode(self, text: str) -> Tensor:
        if surrogate := re.search(r"[\ud800-\udfff]", text):  # the library accepts only valid Unicode
            raise self._unknown(surrogate[0])
        encoded = self._engine.encode_batch_fast(list(lines(text)))  # in parallel
        return torch.tensor([i for line in encoded for i in line.ids], dtype=torch.int64)

    @cached_property
    def _bytes(self) -> list[bytes]:
        """The bytes of each token; tokens from other libraries that have characters outside `BYTES` become UTF-8."""
        return [
            bytes(map(BYTES.__getitem__, token)) if BYTES.keys() >= set(token) else token.encode(errors="replace")
            for token in self.vocab
        ]

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for i in ids:
            yield decoder.decode(self._bytes[int(i)])
        yield decoder.decode(b"", final=True)

    def show(self, i: int) -> str:
        """Returns the text of a token; bytes of incomplete characters look like `\\xe2\\x82`, so that labels differ."""
        return self._bytes[i].decode(errors="backslashreplace")

    @property
    def arguments(self) -> dict[str, Any]:
        return {"vocab": self.vocab, "merges": self.merges}


def lines(text: str) -> Iterator[str]:
    """Yields the lines of a text with their newlines, because the library needs much memory for long pieces."""
    return (m[0] for m in re.finditer(r"[^\n]*\n|[^\n]+", text))
