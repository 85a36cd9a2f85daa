"""Classes of tokens, such as vowels or digits, computed from the text of each token.

Shapes: V vocabulary.
"""

import unicodedata
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

VOWELS = frozenset("aeiouyæøœıαεηιουωаеёиоуыэюяєі")  #: vowels of Latin, Greek and Cyrillic, without accents
OPENING = "([{«“‘"  #: characters that open a bracket or a quotation
CLOSING = ")]}»”’"  #: characters that close it, in the same order


def _letters(token: str) -> str:
    """Returns the token without surrounding white space and without accents, in lower case."""
    return unicodedata.normalize("NFD", token.strip("\u2581\u0120 \t")).lower()


def _is_single(token: str, vowel: bool) -> bool:
    """Returns whether a token is one letter of a script with vowels, and a vowel or not."""
    text = _letters(token)[:1] if len(token.strip()) == 1 else ""
    has_vowels = text.isalpha() and unicodedata.name(text, "").split()[0] in ("LATIN", "GREEK", "CYRILLIC")
    return has_vowels and (text in VOWELS) == vowel


def is_word(token: str) -> bool:
    """Returns whether a token has a letter or a digit."""
    return any(c.isalnum() for c in token)


#: The classes, by name. Each maps a token's text to whether it is a member.
CLASSES: dict[str, Callable[[str], bool]] = {
    "newline": lambda token: "\n" in token,
    "space": lambda token: token.isspace() and "\n" not in token,
    "punctuation mark": lambda token: token.strip() != "" and not is_word(token),
    "digit": lambda token: token.strip().isdigit(),
    "capital": lambda token: token.strip()[:1].isupper(),
    "vowel": lambda token: _is_single(token, vowel=True) and not token.strip().isupper(),
    "consonant": lambda token: _is_single(token, vowel=False) and not token.strip().isupper(),
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


def starts_word(vocab: Sequence[str]) -> Tensor:
    """Returns which tokens begin with white space and contain a word, bool (V,), as byte-pair tokens such as " the"."""
    return torch.tensor([is_word(token) and token[:1] in "\u2581\u0120 \t\n" and token != "" for token in vocab])
