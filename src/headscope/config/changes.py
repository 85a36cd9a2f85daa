"""What may change in a run that is resumed: one table over the keys of its config.

A changed key either takes effect from the step of the resume on, and is recorded with that step, or is refused.
"""

from collections.abc import Mapping, Sequence

from headscope.errors import UserError

#: Keys, or beginnings of keys up to a dot, that take effect; the longest that fits decides.
HONOURED = {
    "name": True,
    "batch_size": True,
    "same_batch": True,
    "callbacks": True,
    "callbacks.early_stopping": False,  # Lightning restores its patience and its best loss
    "checkpoint": True,  # read by task=validate only
    "data": True,  # the text itself is compared by its sha256
    "data.tokenizer": False,
    "data.vocab_size": False,
    "feedforward": False,
    "init": False,
    "logger": True,
    "model": False,
    "model.dropout": True,
    "optimizer": True,
    "optimizer._target_": False,
    "paths": True,
    "position": False,
    "qk_norm": False,
    "schedule": True,
    "seed": False,
    "task": False,
    "trainer": True,
}


def honoured(key: str) -> bool:
    """Whether a changed value of a key takes effect when a run is resumed."""
    while key not in HONOURED:
        key = key.rpartition(".")[0]  # every top-level key of the config is in the table
    return HONOURED[key]


def changes(before: Mapping[str, str], now: Mapping[str, str], typed: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What a resumed run does differently from here on: old and new value by key.

    Both configs are given by dotted key. A key that only a newer version has is a change only if it was typed.

    Raises:
        UserError: a key changed that cannot take effect any more.
    """
    found = {}
    for key, value in now.items():
        old = before.get(key, "unset" if _typed(key, typed) else value)
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


def _typed(key: str, typed: Sequence[str]) -> bool:
    return any(key == t or key.startswith(f"{t}.") for t in typed)
