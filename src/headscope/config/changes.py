"""The keys of a config that may change when a run is resumed.

A changed key either takes effect from the step of the resume on, and is recorded with that step, or is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from headscope.errors import UserError

#: Keys, or prefixes of keys up to a dot; the longest prefix of a key decides.
HONOURED = {"batch_size", "callbacks", "checkpoint", "data", "logger", "model.dropout", "name", "optimizer", "paths"}
HONOURED |= {"same_batch", "schedule", "trainer"}  # `data` may move, because its text is compared by its hash
REFUSED = {"data.tokenizer", "data.vocab_size", "feedforward", "init", "model", "optimizer._target_", "position"}
REFUSED |= {"qk_norm", "seed", "task", "callbacks.early_stopping"}  # Lightning restores the patience of the last


def honoured(key: str) -> bool:
    """Whether a changed value of a key takes effect when a run is resumed."""
    while key not in HONOURED | REFUSED:
        key = key.rpartition(".")[0]  # ends, because every top-level key of the config is in one of the sets
    return key in HONOURED


def changes(before: Mapping[str, str], now: Mapping[str, str], typed: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Returns the old and the new value, as text, of each dotted key that a resume changes.

    A key that the earlier version lacked is a change only if it was typed. Raises `UserError` if a changed key cannot
    take effect any more.
    """
    found = {}
    for key, value in now.items():
        is_typed = any(key == t or key.startswith(f"{t}.") for t in typed)
        old = before.get(key, "unset" if is_typed else value)
        if key.endswith("_target_"):  # a class may move to another module from one version to the next
            old, value = old.rpartition(".")[2], value.rpartition(".")[2]
        if old == value or key == "paths.run_dir":
            continue
        if not honoured(key):
            raise UserError(
                f"{key} cannot change from {old} to {value} when a run is resumed; start a new run from its weights:"
                " init=outputs/…/checkpoints/last.ckpt"
            )
        found[key] = old, value
    return found


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the leaves of nested mappings by dotted key; an empty mapping is a leaf."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def as_typed(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the leaves of a config as they would be typed, to compare them."""
    return {key: "null" if value is None else str(value) for key, value in flat(config).items()}
