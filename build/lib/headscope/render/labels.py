"""Tokens as labels: everything visible, and different tokens different."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

MARKS = {" ": "·", "\n": "↵", "\t": "→"}
BASE = "◌"  #: carries an accent that has no letter of its own
TAKEN = {*MARKS.values(), BASE}
#: Characters that Python calls printable although they have no picture: fillers and variation selectors.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
#: What stands for one character in a label, or for one byte of an incomplete character: never cut in two.
UNIT = re.compile(r"<U\+[0-9A-F]+>|\\x[0-9a-f]{2}|.", re.DOTALL)


def label(token: str) -> str:
    """A token so that all of it can be seen.

    A space becomes ·, a newline ↵, a tab →. Every other character without a picture becomes its code point, and so do
    ·, ↵, → and ◌ themselves. A leading combining character stands on ◌.
    """
    shown = "".join(MARKS.get(c) or (c if _visible(c) else code_point(c, token)) for c in token)
    return BASE + shown if unicodedata.category(shown[:1] or "a").startswith("M") else shown


def _visible(character: str) -> bool:
    return character.isprintable() and character not in TAKEN and not INVISIBLE.match(character)


def code_point(character: str, text: str) -> str:
    """The number of a character: U+000D, or <U+000D> in a longer text, where digits could follow."""
    number = f"U+{ord(character):04X}"
    return number if len(text) == 1 else f"<{number}>"


def shorten(labels: Sequence[str], most: int) -> list[str]:
    """Long labels without their middle, for one axis.

    Labels that would then look alike keep up to four times as many characters. If they still look alike, they are
    numbered.

    Args:
        labels: any number of them.
        most: characters of a short label, at least 5; a code point in place of a character counts as one.
    """
    short = {x: _without_middle(x, most) for x in labels}
    for longer in (2 * most, 3 * most, 4 * most):
        short = {x: _without_middle(x, longer) if alike else short[x] for x, alike in _alike(short).items()}
    numbers = {x: f"{short[x]}#{i}" for i, (x, alike) in enumerate(_alike(short).items(), 1) if alike}
    return [(short | numbers)[x] for x in labels]


def _alike(short: dict[str, str]) -> dict[str, bool]:
    """Whether the short form of a label is that of another label too."""
    counts = Counter(short.values())
    return {x: counts[s] > 1 for x, s in short.items()}


def _without_middle(text: str, most: int) -> str:
    units, tail = UNIT.findall(text), (most - 1) // 2
    return text if len(units) <= most else "".join((*units[: most - 1 - tail], "…", *units[-tail:]))
