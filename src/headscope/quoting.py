"""Quotes the arguments of printed commands as a person would, so that they can be pasted into a shell."""

import re
import shlex
from collections.abc import Sequence

from headscope.config.overrides import TEXTS

SIMPLE = re.compile(r"[\w./-]+", re.ASCII)  #: values that need no quotes in a shell
#: Values that Hydra reads as a number, a truth value or nothing if they have no quotes.
NOT_TEXT = re.compile(r"[-+]?[\d.].*|true|false|null|nan|inf|\?\?\?", re.I)


def command_line(arguments: Sequence[str]) -> str:
    """Returns arguments of train.py, as recorded or typed, as one line for a shell."""
    return " ".join(shell_word(without_hydra_quotes(argument)) for argument in arguments)


def without_hydra_quotes(override: str) -> str:
    """Returns `key='value'` as `key=value` if the command line reads both in the same way.

    `config.overrides.as_text` puts the quotes around paths and names that the user typed without them.
    """
    typed, _, value = override.partition("=")
    inside = value[1:-1]
    if value != f"'{inside}'" or re.search(r"['\\]", inside):
        return override
    is_read_as_text = (typed.lstrip("+") in TEXTS and inside != "null") or not NOT_TEXT.fullmatch(inside)
    return f"{typed}={inside}" if SIMPLE.fullmatch(inside) and is_read_as_text else override


def shell_word(text: str) -> str:
    """Returns a text as one word of a shell, with the fewest quotes: `key='a b'`, `"key='a, b'"`."""
    key, equals, value = text.partition("=")
    if "'" not in text:
        return f"{key}={shlex.quote(value)}" if equals and shlex.quote(key) == key and value else shlex.quote(text)
    return shlex.quote(text) if re.search(r'["$`\\!]', text) else f'"{text}"'
