"""What the text of each token tells about the token: classes such as vowels or digits, and the borders of words.

Shapes: V vocabulary.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

VOWELS = frozenset("aeiouyæøœıαεηιουωаеёиоуыэюяєі")  #: vowels of Latin, Greek and Cyrillic, without accents
SCRIPTS = ("LATIN ", "GREEK ", "CYRILLIC ")  #: scripts with these vowels; the Unicode names of letters begin so
OPENING = "([{«“‘（「『【《"  #: characters that open a bracket or a quotation
CLOSING = ")]}»”’）」』】》"  #: characters that close it, in the same order
STRAIGHT = '"'  #: the quotation mark that opens and closes a quotation
WIDE_END_MARKS = "。！？"  #: end marks after which no space follows
END_MARKS = ".!?…" + WIDE_END_MARKS  #: characters that end a sentence


def _is_single(token: str, vowel: bool) -> bool:
    """Returns whether a token is one lower-case letter of a script with vowels, and a vowel or not."""
    text = token.strip()
    if len(text) != 1 or not text.isalpha() or text.isupper():
        return False
    letter = unicodedata.normalize("NFD", text)[0]  # without accents
    return unicodedata.name(letter, "").startswith(SCRIPTS) and (letter in VOWELS) == vowel


def is_word(token: str) -> bool:
    """Returns whether a token has a letter, a digit, or an underscore; some scripts write vowels as marks (M)."""
    return any(c == "_" or unicodedata.category(c)[0] in "LNM" for c in token)


def is_end_mark(token: str) -> bool:
    """Returns whether a token ends with a mark that ends a sentence, which a closing quotation mark may follow."""
    return token.rstrip().rstrip(CLOSING + STRAIGHT)[-1:] in tuple(END_MARKS)


#: The classes, by name. Each maps a token's text to whether it is a member.
CLASSES: dict[str, Callable[[str], bool]] = {
    "newline": lambda token: "\n" in token,
    "space": lambda token: token.isspace() and "\n" not in token,
    "punctuation mark": lambda token: token.strip() != "" and not is_word(token),
    "end mark": is_end_mark,
    "digit": lambda token: token.strip().isdigit(),
    "capital": lambda token: token.strip()[:1].isupper(),
    "uppercase word": lambda token: len(token.strip()) > 1 and token.strip().isalpha() and token.isupper(),
    "vowel": lambda token: _is_single(token, vowel=True),
    "consonant": lambda token: _is_single(token, vowel=False),
    "letter": lambda token: token.strip()[:1].isalpha(),
}


def token_classes(vocab: Sequence[str]) -> dict[str, Tensor]:
    """Returns the members of each class, bool (V,). A class without members, or with every token, is left out.

    `vocab` has the text of each token. Of two equal classes, the first is kept.
    """
    found: dict[str, Tensor] = {}
    for name, is_member in CLASSES.items():
        members = torch.tensor([is_member(token) for token in vocab])
        if members.any() and not members.all() and not any(members.equal(other) for other in found.values()):
            found[name] = members
    return found


def has_whole_words(vocab: Sequence[str]) -> bool:
    """Returns whether each token is a word without the space before it, as in `WordTokenizer`."""
    has_spaces = any(c.isspace() and c != "\n" for token in vocab for c in token)
    return not has_spaces and any(len(token) > 1 and is_word(token) for token in vocab)


def starts_word(vocab: Sequence[str]) -> Tensor:
    """Returns which tokens always start a word, bool (V,).

    These are byte-pair tokens with a space, such as " the", every word of a vocabulary of whole words, and Chinese
    characters, because Chinese has no spaces between words.
    """
    whole = has_whole_words(vocab)
    starts = [
        whole or token[:1].isspace() or unicodedata.name(token[:1] or " ", "").startswith("CJK") for token in vocab
    ]
    return torch.tensor([start and is_word(token) for start, token in zip(starts, vocab, strict=True)])


@dataclass(frozen=True)
class Vocabulary:
    """Facts about each token that follow from its text."""

    text: Sequence[str]  #: the text of each token, as `Tokenizer.show` returns it; V strings

    @cached_property
    def classes(self) -> dict[str, Tensor]:
        """The members of each class of tokens, bool (V,)."""
        return token_classes(self.text)

    @cached_property
    def words(self) -> Tensor:
        """Which tokens have a letter, a digit or an underscore, bool (V,)."""
        return torch.tensor([is_word(token) for token in self.text])

    @cached_property
    def starts(self) -> Tensor:
        """Which tokens always start a word, bool (V,)."""
        return starts_word(self.text)

    @cached_property
    def end_marks(self) -> Tensor:
        """Which tokens end with a mark that ends a sentence, bool (V,)."""
        return torch.tensor([is_end_mark(token) for token in self.text])

    @cached_property
    def gaps(self) -> Tensor:
        """Which tokens separate an end mark before them from the next sentence, bool (V,)."""
        whole = has_whole_words(self.text)
        return torch.tensor([whole or token[:1].isspace() for token in self.text])

    @cached_property
    def wide(self) -> Tensor:
        """Which tokens contain an end mark after which no space follows, bool (V,)."""
        return torch.tensor([any(c in WIDE_END_MARKS for c in token) for token in self.text])

    @cached_property
    def newlines(self) -> Tensor:
        """The number of newlines in each token, int64 (V,)."""
        return torch.tensor([token.count("\n") for token in self.text])

    @cached_property
    def blank(self) -> Tensor:
        """Which tokens are white space only, bool (V,)."""
        return torch.tensor([not token.strip() for token in self.text])

    @cached_property
    def brackets(self) -> list[str]:
        """The brackets and quotation marks in each token."""
        return ["".join(c for c in token if c in OPENING + CLOSING + STRAIGHT) for token in self.text]
