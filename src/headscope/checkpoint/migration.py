"""Descriptions of older formats, brought up to today's.

A release that changes what `format.card` writes raises FORMAT by one and adds the step that upgrades the format before.
A small checkpoint of every format is kept in tests/checkpoint/fixtures.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headscope.checkpoint.format import FORMAT
from headscope.errors import UserError


def _name_the_parts(card: dict[str, Any]) -> dict[str, Any]:
    """Format 1 to 2: a transformer names its feed-forward and what it does to queries and keys; it had one kind."""
    model = dict(card["model"])
    if "position" in model:
        model |= {"feedforward": {"class": "GELU"}, "qk_norm": {"class": "QKNorm"}}
    return card | {"format": 2, "model": model}


#: Of each older format, the function that turns its description into the next format's.
STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _name_the_parts}


def to_current(card: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """The description in today's format.

    Raises:
        UserError: a newer version wrote it.
        ValueError: it has no format number.
    """
    number = card.get("format")
    if type(number) is not int or number < 1:
        raise ValueError("format")
    if number > FORMAT:
        raise UserError(f"{path} has format {number}, and this version reads up to {FORMAT}; upgrade Headscope")
    for step in range(number, FORMAT):
        card = STEPS[step](card)
    return card
