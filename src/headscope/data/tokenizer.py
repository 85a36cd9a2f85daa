"""Text to ids and back.

Shapes: N tokens, V vocabulary.
"""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from headscope.errors import UserError

PAD, EOS = "<pad>", "<eos>"


class Tokenizer:
    """A vocabulary, and the rule that cuts text into its pieces.

    Args:
        vocab: every token once; a token's id is its place.
    """

    unit = "token"

    def __init__(self, *, vocab: Sequence[str]) -> None:
        self.vocab = list(vocab)
        self._id = {token: i for i, token in enumerate(self.vocab)}

    @classmethod
    def split(cls, text: str) -> Sequence[str]:
        """Text to tokens, whatever the vocabulary."""
        raise NotImplementedError

    @classmethod
    def join(cls, tokens: Iterable[str]) -> str:
        """Tokens to text; the inverse of `split`."""
        raise NotImplementedError

    def encode(self, text: str) -> Tensor:
        """Ids (N,), int64.

        Raises:
            UserError: a token that the vocabulary lacks, named.
        """
        try:
            return torch.tensor([self._id[token] for token in self.split(text)], dtype=torch.int64)
        except KeyError as e:
            few = " ".join(self.vocab) if len(self.vocab) <= 12 else f"{len(self.vocab)} of them, {self._sample()}"
            raise UserError(
                f"{self.unit} {e} is not in the model's vocabulary ({few}); write the text without it"
            ) from e

    @property
    def end(self) -> int | None:
        """The id of the token that ends a text, if there is one."""
        return self._id.get(EOS)

    def decode(self, ids: Iterable[int]) -> str:
        return self.join(self.vocab[int(i)] for i in ids)

    def _sample(self) -> str:
        return "such as " + " ".join(repr(t) for t in self.vocab[-5:])

    def __len__(self) -> int:
        return len(self.vocab)


class CharTokenizer(Tokenizer):
    """Every character is a token."""

    unit = "character"

    @classmethod
    def split(cls, text: str) -> Sequence[str]:
        return text

    @classmethod
    def join(cls, tokens: Iterable[str]) -> str:
        return "".join(tokens)


class WordTokenizer(Tokenizer):
    """What stands between white space is a word; a line's end is a word of its own."""

    unit = "word"

    @classmethod
    def split(cls, text: str) -> Sequence[str]:
        return re.findall(r"\n|\S+", text)

    @classmethod
    def join(cls, tokens: Iterable[str]) -> str:
        return re.sub(r" ?\n ?", "\n", " ".join(tokens))


def tokenize(text: str, by: Tokenizer | type[Tokenizer]) -> tuple[Tokenizer, Tensor]:
    """A tokenizer and a text's ids (N,), in the narrowest integer type that holds the vocabulary.

    Args:
        text: anything.
        by: a tokenizer, or a kind of one, which gets all of the text for its vocabulary, in code-point order.

    Raises:
        UserError: a token that the given tokenizer lacks.
    """
    if by is CharTokenizer:  # the same as below in one sort, for megabytes of text
        codes = torch.frombuffer(bytearray(text, "utf-32-le"), dtype=torch.int32)
        found, ids = torch.unique(codes, return_inverse=True)
        tokenizer: Tokenizer = CharTokenizer(vocab=[chr(c) for c in found.tolist()])
    else:
        tokenizer = by(vocab=sorted(set(by.split(text)))) if isinstance(by, type) else by
        ids = tokenizer.encode(text)
    return tokenizer, ids.to(narrowest(len(tokenizer)))


def narrowest(vocab_size: int) -> torch.dtype:
    """The smallest integer type that holds the ids of a vocabulary."""
    return next((t for t in (torch.uint8, torch.int16) if vocab_size <= torch.iinfo(t).max + 1), torch.int32)
