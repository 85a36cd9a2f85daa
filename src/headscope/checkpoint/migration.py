"""Reads Headscope's own files: a run's checkpoint, which Lightning writes, and its export to safetensors.

A release that changes what `format.card` writes raises FORMAT by one and adds the step from the format before.
`tests/checkpoint/fixtures` has a small checkpoint of every format.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headscope.checkpoint.format import FORMAT
from headscope.checkpoint.source import CardAndWeights, Source
from headscope.errors import UserError

PREFIX = "model."  #: before the name of each weight of a LightningModule's model


def _name_the_parts(card: dict[str, Any]) -> dict[str, Any]:
    """Upgrades format 1, which did not name the classes of feed-forward and of query and key norm: it had only one."""
    model = dict(card["model"])
    if "position" in model:
        model |= {"feedforward": {"class": "GELU"}, "qk_norm": {"class": "QKNorm"}}
    return card | {"format": 2, "model": model}


#: For each older format, the function that upgrades a description to the next format.
STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _name_the_parts}


def recognises(source: Source) -> bool:
    """Whether Headscope wrote the file."""
    return isinstance(source.content.get("headscope"), dict)


def read(source: Source) -> CardAndWeights:
    """Returns the card and the weights; see `reading.FORMATS`."""
    card = to_current(source.content["headscope"], source.path)
    step = {"step": source.content["global_step"]} if "global_step" in source.content else {}
    weights = {name.removeprefix(PREFIX): weight for name, weight in source.content["state_dict"].items()}
    return card | {"about": card["about"] | step}, weights


def to_current(card: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Returns a description in the current format. `path` is the file, for the message.

    Raises:
        UserError: a newer version wrote the description.
        ValueError: the description has no format number.
    """
    number = card.get("format")
    if type(number) is not int or number < 1:
        raise ValueError("format")
    if number > FORMAT:
        raise UserError(f"{path} has format {number}, and this version reads up to {FORMAT}; upgrade Headscope")
    for step in range(number, FORMAT):
        card = STEPS[step](card)
    return card
