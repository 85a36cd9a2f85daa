"""Converts tokens to labels in which every character is visible. Different tokens have different labels."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

MARKS = {" ": "·", "\n": "↵", "\t": "→"}
BASE = "◌"  #: placeholder letter below an accent that starts a token
RESERVED = {*MARKS.values(), BASE}
#: Invisible characters for which `str.isprintable` is true: fillers and variation selectors.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
#: The parts of a label that are never split: a code point, a byte of an incomplete character, or a character.
UNIT = re.compile(r"<U\+[0-9A-F]+>|\\x[0-9a-f]{2}|.", re.DOTALL)


def label(token: str) -> str:
    """Returns a token with all of its characters visible.

    A space becomes ·, a newline ↵, a tab →. Any other invisible character becomes its code point, and so do the
    characters ·, ↵, → and ◌. If the token starts with a combining character, ◌ is put before it.
    """
    hidden = {c for c in token if not c.isprintable() or c in RESERVED or INVISIBLE.match(c)}
    shown = "".join(MARKS.get(c) or (code_point(c, token) if c in hidden else c) for c in token)
    return BASE + shown if unicodedata.category(shown[:1] or "a").startswith("M") else shown


def code_point(character: str, text: str) -> str:
    """Returns a character's code point: U+000D, or <U+000D> in a longer text, where digits could follow."""
    number = f"U+{ord(character):04X}"
    return number if len(text) == 1 else f"<{number}>"


def shorten(labels: Sequence[str], longest: int) -> list[str]:
    """Removes the middle of labels with more than `longest` characters.

    Labels that would become equal keep up to four times as many characters. If they are still equal, a number is added.
    `longest` must be at least 5. A code point such as <U+000D> counts as one character.
    """
    short = {x: _without_middle(x, longest) for x in labels}
    for length in (2 * longest, 3 * longest, 4 * longest):
        short |= {x: _without_middle(x, length) for x in _ambiguous(short)}
    ambiguous = _ambiguous(short)
    numbers = {x: f"{short[x]}#{i}" for i, x in enumerate(short, 1) if x in ambiguous}
    return [(short | numbers)[x] for x in labels]


def _ambiguous(short: dict[str, str]) -> set[str]:
    """Returns the labels whose short form is also the short form of another label."""
    counts = Counter(short.values())
    return {x for x, s in short.items() if counts[s] > 1}


def _without_middle(text: str, longest: int) -> str:
    units, tail = UNIT.findall(text), (longest - 1) // 2
    return text if len(units) <= longest else "".join((*units[: longest - 1 - tail], "…", *units[-tail:]))
