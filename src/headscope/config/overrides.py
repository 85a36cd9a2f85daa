"""Overrides (`key=value`): how to protect their values from Hydra's grammar, and which keys a resume may change."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from itertools import accumulate
from pathlib import Path
from typing import Any

from headscope.errors import UserError
from headscope.installed import CONF
from headscope.plugins import conf_folders

#: Keys whose values are paths.
PATHS = {"checkpoint", "data.path", "hydra.run.dir", "hydra.sweep.dir", "init", "out", "prompt_file"}
PATHS |= {"data.data_dir", "paths.data_dir", "paths.run_dir", "paths.runs"}
TEXTS = {"name", *PATHS}  #: keys whose values are used exactly as typed
STARTED_FROM = {"data.path", "init"}  #: recorded as absolute paths, so that a run can be resumed from another folder
RESUME = "hydra.callbacks.record.resume"  #: the key that passes the folder of `resume=DIR` to Hydra, jobs and ranks

#: Hydra's flags except --experimental-rerun, which unpickles a file; checked by tests/config/test_overrides.py.
FLAGS = {"-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run"}
FLAGS |= {"-m", "--multirun", "-sc", "--shell-completion", "-cp", "--config-path", "-cn", "--config-name"}
FLAGS |= {"-cd", "--config-dir", "-i", "--info"}

#: Keys that a resume may change. A key stands for all keys under it, except those under a longer key in these sets.
#: `data.path` may change, because the hash of the text is compared.
CHANGEABLE = {"batch_size", "callbacks", "checkpoint", "data", "logger", "model.dropout", "name", "optimizer", "paths"}
CHANGEABLE |= {"same_batch", "schedule", "trainer"}
REFUSED = {"data.tokenizer", "data.vocab_size", "feedforward", "init", "model", "optimizer._target_", "position"}
REFUSED |= {"data.split", "qk_norm", "seed", "task"}
REFUSED |= {"callbacks.early_stopping.patience"}  # Lightning restores it

MOST_DIGITS = 400  #: the largest float has 309; Python reads an integer of at most 4,300
DEEPEST = 20  #: Hydra's parser calls itself for each level

Changes = Mapping[str, tuple[str, str]]  #: the old and the new value of each changed key, as text


def split(override: str) -> tuple[str, str]:
    """Returns the key and the value of `+key=value`."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def is_below(key: str, keys: Iterable[str]) -> bool:
    """Whether a key is one of `keys`, or below one."""
    return any(f"{key}.".startswith(f"{above}.") for above in keys)


def is_key(word: str, script: str) -> bool:
    """Whether a word is a top-level key of a script's config."""
    return f"\n{word}:" in (CONF / f"{script}.yaml").read_text(encoding="utf-8")


def is_group(key: str) -> bool:
    """Whether a key is a config group, such as `position`."""
    group = key.partition("@")[0]
    folders = (CONF, *conf_folders())
    return bool(re.fullmatch(r"[\w/-]{1,200}", group)) and any((conf / group).is_dir() for conf in folders)


def quote(text: str) -> str:
    """Quotes any text for Hydra's grammar, in which a backslash is special only before a quote."""
    inside = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{inside}'"


def refuse_malformed(arguments: Sequence[str]) -> None:
    """Raises `UserError` for a key with dashes, for a word without a key, and for a value that Hydra cannot parse."""
    for argument in arguments:
        word, _, value = argument.partition("=")
        key = word.strip("+~")
        if word.startswith("-") and word not in FLAGS:
            key = word.lstrip("-").replace("-", "_")
            raise UserError(f"there is no option {word}; keys have no dashes: {key}={value or '…'}")
        if not key:
            raise UserError(f"{argument!r} has no key; write KEY=VALUE, as --help shows")
        if word.endswith("+") and "=" in argument:
            raise UserError(f"{word}= is not possible; write {key}=VALUE, or +{key}=VALUE to add a key")
        if key not in TEXTS and re.search(rf"\d{{{MOST_DIGITS + 1}}}", value):
            raise UserError(f"{key} has a number of more than {MOST_DIGITS} digits; use a smaller number")
        open_brackets = accumulate((c in "[{(") - (c in "]})") for c in value)
        if key not in TEXTS and max(open_brackets, default=0) > DEEPEST:
            raise UserError(f"{key} has brackets inside brackets, more than {DEEPEST} levels deep; use fewer")


def as_text(arguments: Sequence[str], absolute: Set[str] = STARTED_FROM) -> list[str]:
    """Quotes paths and names for Hydra; keys in `absolute` get absolute paths. In a sweep, commas separate values."""
    in_sweep = any(a in ("-m", "--multirun") or a.startswith("sweep=") for a in arguments)
    found = []
    for argument in arguments:
        typed, _, value = argument.partition("=")
        key = typed.lstrip("+")
        is_swept = in_sweep and "," in value and not key.startswith("hydra.")
        is_literal = value in ("", "null", "???") or re.fullmatch(r"'.*'|\".*\"", value, re.S)
        if (value.isdigit() or value == "null") and is_group(key):
            argument = f"{typed}={quote(value)}"  # makes Hydra's error list the options
        if key in TEXTS and not is_swept and not is_literal:
            if key in PATHS:
                value = expand_home(value)
            if key in absolute and "${" not in value:
                value = str(Path(value).absolute())
            argument = f"{typed}={quote(value)}"
        found.append(argument)
    return found


def expand_home(path: str) -> str:
    """Expands `~` and `~user` at the start of a path; an unknown user's name is not changed."""
    return os.path.expanduser(path)  # noqa: PTH111, Path.expanduser raises an error for an unknown user


def may_change(key: str) -> bool:
    """Whether a resume may change the value of a key."""
    while key not in CHANGEABLE | REFUSED:
        key = key.rpartition(".")[0]  # ends, because every top-level key of the config is in one of the sets
    return key in CHANGEABLE


def changes(before: Mapping[str, str], now: Mapping[str, str], typed: Collection[str]) -> Changes:
    """Returns the changes that a resume makes to a config; raises `UserError` if one of them cannot take effect.

    A key that is new in this version of Headscope, or gone, counts as a change only if it was typed.
    """
    found = {}
    for key, value in now.items():
        old = before.get(key, "unset" if is_below(key, typed) else value)
        if key.endswith("_target_"):  # a class may move to another module from one version to the next
            old, value = old.rpartition(".")[2], value.rpartition(".")[2]
        if old == value or key == "paths.run_dir":
            continue
        is_new_part = old == "unset" and key.startswith("callbacks.")  # without an earlier state to restore
        if not may_change(key) and not is_new_part:
            refused = f"{key} cannot change from {old} to {value} when a run is resumed"
            raise UserError(f"{refused}; start a new run from its weights: init=outputs/…/checkpoints/last.ckpt")
        found[key] = old, value
    for key in sorted(before.keys() - now.keys()):
        if is_below(key, typed) and may_change(key.partition(".")[0]):
            found[key] = before[key], "absent"
    return found


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the leaves of nested mappings by dotted key; an empty mapping is a leaf."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def as_typed(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the values of a config as they would be typed, by dotted key."""
    return {key: "null" if value is None else str(value) for key, value in flat(config).items()}
