"""Prints words as a person would type them in a shell."""

import re
import shlex
from collections.abc import Sequence

from headscope.config.overrides import TEXTS

#: A path or a name in the quotes of `headscope.config.overrides.as_text`, which adds them again to the typed word.
_QUOTED_TEXT = re.compile(rf"""(\+*(?:{"|".join(map(re.escape, sorted(TEXTS)))})=)'(?!null'|\?\?\?')([^'",\\]+)'""")


def shell_command(words: Sequence[str]) -> str:
    """Returns the words as one line, which a shell splits into words with the same meaning."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if typed := _QUOTED_TEXT.fullmatch(word):
        word = typed[1] + typed[2]
    can_be_in_double_quotes = not re.search(r'["$`\\!]', word)
    return f'"{word}"' if "'" in word and can_be_in_double_quotes else shlex.quote(word)
