"""Overrides (`key=value`): how their values are protected from Hydra's grammar, and which keys a resume may change.

The grammar interprets commas, brackets, quotes and numbers. Paths, names and prompts are taken as typed. A key that
changes at a resume either takes effect from that step on, and is recorded with the step, or is refused.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headscope.errors import UserError
from headscope.installed import CONF

PATHS = {"checkpoint", "data.path", "hydra.run.dir", "hydra.sweep.dir", "init", "out", "prompt_file"}
PATHS |= {"data.data_dir", "paths.data_dir", "paths.run_dir", "paths.runs"}
TEXTS = {"name", *PATHS}
STARTED_FROM = {"data.path", "init"}  #: recorded as absolute paths, so that a run can be resumed from another folder
RESUME = "hydra.callbacks.record.resume"  #: how Hydra, jobs and ranks receive the folder of `resume=DIR`

#: Hydra's flags, except --experimental-rerun, which unpickles a file; tests/config/test_overrides.py compares them.
FLAGS = {"-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run"}
FLAGS |= {"-m", "--multirun", "-sc", "--shell-completion", "-cp", "--config-path", "-cn", "--config-name"}
FLAGS |= {"-cd", "--config-dir", "-i", "--info"}

#: Keys that may change at a resume, or prefixes of keys up to a dot; the longest prefix of a key decides.
HONOURED = {"batch_size", "callbacks", "checkpoint", "data", "logger", "model.dropout", "name", "optimizer", "paths"}
HONOURED |= {"same_batch", "schedule", "trainer"}  # `data` may move, because its text is compared by its hash
REFUSED = {"data.tokenizer", "data.vocab_size", "feedforward", "init", "model", "optimizer._target_", "position"}
REFUSED |= {"qk_norm", "seed", "task", "callbacks.early_stopping"}  # Lightning restores the patience of the last

Changes = Mapping[str, tuple[str, str]]  #: the old and the new value, as text, of each changed key


def split(override: str) -> tuple[str, str]:
    """Returns the key and the value of `+key=value`."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def is_key(word: str, script: str) -> bool:
    """Whether a word is a top-level key of a script's config."""
    return f"\n{word}:" in (CONF / f"{script}.yaml").read_text(encoding="utf-8")


def quoted(text: str) -> str:
    """Quotes any text for Hydra's grammar, in which a backslash is special only before a quote."""
    inside = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{inside}'"


def refuse_dashes(arguments: Sequence[str]) -> None:
    """Raises `UserError` if a key was typed with dashes."""
    for argument in arguments:
        flag, _, value = argument.partition("=")
        if flag.startswith("-") and flag not in FLAGS:
            key = flag.lstrip("-").replace("-", "_")
            raise UserError(f"there is no option {flag}; keys take no dashes: {key}={value or '…'}")


def as_text(arguments: Sequence[str]) -> list[str]:
    """Quotes paths and names. In a sweep, a comma still separates several values."""
    several = any(a in ("-m", "--multirun") or a.startswith("sweep=") for a in arguments)
    found = []
    for argument in arguments:
        typed, _, value = argument.partition("=")
        key = typed.lstrip("+")
        values = several and "," in value and not key.startswith("hydra.")
        read_as_meant = value in ("", "null", "???") or re.fullmatch(r"'.*'|\".*\"", value, re.S)
        if (CONF / key).is_dir() and (value.isdigit() or value == "null"):
            argument = f"{typed}={quoted(value)}"  # makes Hydra's error list the options
        if key in TEXTS and not values and not read_as_meant:
            if key in PATHS:
                value = expanded(value)
            if key in STARTED_FROM and "${" not in value:
                value = str(Path(value).absolute())
            argument = f"{typed}={quoted(value)}"
        found.append(argument)
    return found


def expanded(path: str) -> str:
    """Expands `~` and `~user` at the start of a path; the name of an unknown user stays."""
    return os.path.expanduser(path)  # noqa: PTH111, Path.expanduser raises an error for an unknown user


def honoured(key: str) -> bool:
    """Whether a changed value of a key takes effect when a run is resumed."""
    while key not in HONOURED | REFUSED:
        key = key.rpartition(".")[0]  # ends, because every top-level key of the config is in one of the sets
    return key in HONOURED


def changes(before: Mapping[str, str], now: Mapping[str, str], typed: Sequence[str]) -> Changes:
    """Returns the changes that a resume makes to a config.

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
