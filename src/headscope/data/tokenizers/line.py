"""Lines as texts, by character.

Shapes: N tokens.
"""

from collections.abc import Sequence

from headscope.data.tokenizers.char import CharTokenizer

BORDER = "\n"  #: before and behind every line; nothing else can be, since no line holds it


class LineTokenizer(CharTokenizer):
    """Every character is a token, and a text is one line: the newline begins it and ends it.

    Args:
        vocab: the characters, a newline among them.

    Raises:
        ValueError: it has no newline.
    """

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
