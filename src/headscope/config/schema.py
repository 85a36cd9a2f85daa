"""Checks a composed config against its schema before any class in it is instantiated, and explains unknown keys."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml

from headscope import plugins
from headscope.annotations import check_options
from headscope.errors import MissingKey, UnknownKey, UserError
from headscope.installed import CONF, command

T = TypeVar("T")


def parse(config: dict[str, Any], schema: type[T], choices: Mapping[str, Any] = {}) -> T:
    """Checks a composed config and returns an instance of its schema, a dataclass with one field per key.

    `choices`, the chosen option of each group, is for the message about incompatible options.
    """
    try:
        return schema(**check_options(config, schema, ""))
    except UnknownKey as e:
        raise UserError(_conflict(e.key, choices) or unknown_key(e.key, e.known)) from e
    except MissingKey as e:
        raise UserError(f"{e} from the configuration; add +{e.key}=…") from e


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Returns the message for a key that does not exist, with the options that have it, or the nearest key."""
    group = key.partition(".")[0]
    files = [file for conf in (CONF, *plugins.conf_folders()) for file in sorted(conf.glob(f"{group}/*.yaml"))]
    if options := [f"{group}={file.stem} {key}=…" for file in files if _sets(group, file.stem, key)]:
        return f"there is no key {key}; write {' or '.join(options)}"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    last = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    meant = f"did you mean {(near or last)[0]}?" if near or last else f"{command('train')} --cfg job prints all keys"
    return f"there is no key {key}; {meant}"


def _conflict(key: str, choices: Mapping[str, Any]) -> str | None:
    """Returns the message for two incompatible options, if the chosen option of another group sets an unknown key."""
    group = key.partition(".")[0]
    for other, option in choices.items():
        if option and other not in (group, f"{group}s") and _sets(other, option, key):
            return f"{other}={option} sets {key}, which {group}={choices.get(group)} does not have; leave out one"
    return None


def _sets(group: str, option: str, key: str) -> bool:
    """Whether an option's file, or a file in its defaults list, sets a key."""
    folders = (CONF, *plugins.conf_folders())
    file = next((file for conf in folders if (file := conf / group / f"{option}.yaml").exists()), None)
    if file is None:
        return False
    text = file.read_text(encoding="utf-8")
    content = yaml.safe_load(text) or {}
    package = text.partition("# @package ")[2].partition("\n")[0] or group
    node = content if package == "_global_" else {package: content}
    for name in key.split("."):
        if not isinstance(node, dict) or name not in node:
            bases = [base for base in content.get("defaults", ()) if isinstance(base, str) and base != "_self_"]
            return any(_sets(group, base, key) for base in bases)
        node = node[name]
    return True
