"""Lines as texts, split into characters.

Shapes: N tokens.
"""

from collections.abc import Sequence

from headscope.data.tokenizers.char import CharTokenizer

BORDER = "\n"  #: before and after every line; the one character that no line contains


class LineTokenizer(CharTokenizer):
    """Every character is a token, and a text is one line, between two newlines.

    Args:
        vocab: the characters, a newline among them.

    Raises:
        ValueError: the vocabulary has no newline.
    """

    split_rule = "characters"

    def __init__(self, *, vocab: Sequence[str]) -> None:
        super().__init__(vocab=vocab)
        if BORDER not in self._id:
            raise ValueError("a vocabulary of lines has a newline")

    @property
    def start(self) -> int:
        return self._id[BORDER]

    @property
    def end(self) -> int:
        return self._id[BORDER]
