"""The leaves of a config by dotted key."""

from collections.abc import Mapping
from typing import Any


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by dotted key; an empty mapping is a leaf."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def as_typed(config: Mapping[str, Any]) -> dict[str, str]:
    """The leaves of a config as they would be typed, to compare them."""
    return {key: "null" if value is None else str(value) for key, value in flat(config).items()}
