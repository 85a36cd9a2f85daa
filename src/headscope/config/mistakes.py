"""What is said of a mistake in a config: one line that names the key, what was given, and what is allowed."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from headscope.errors import UnknownKey, UserError
from headscope.installed import CONF, command
from headscope.plugins import conf_folders

#: What a value must be, for each type of error that pydantic reports.
MUST_BE = {
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping",
    "sequence_str": "a list, as in [a, b]",
    "is_instance_of": "a list, as in [a, b]",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "greater_than": "above {gt:.10g}",
    "greater_than_equal": "at least {ge:.10g}",
    "less_than": "below {lt:.10g}",
    "less_than_equal": "at most {le:.10g}",
}

PROBES = "every command describes heads on the same texts; leave the key out, also in .hydra/overrides.yaml of a run"
#: Keys of earlier versions, and why they are gone.
REMOVED = {"callbacks.heads.texts": PROBES, "callbacks.heads.longest": PROBES}


def must_be(error: Any) -> str:
    """What pydantic asks for in an error, in our words."""
    if error["type"] == "literal_error":
        expected = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"one of {expected}" if "," in expected else expected
    words = MUST_BE.get(error["type"], error["msg"].removeprefix("Input should be "))
    return str(words.format(**error.get("ctx", {})))


def wrong(key: str, value: Any, allowed: str) -> UserError:
    """The error for a value that its key does not allow."""
    given = value if isinstance(value, str) else json.dumps(value, default=str)
    return UserError(f"{key}={' '.join(given.split())} must be {allowed}")


def unknown_key(key: str, known: Sequence[str]) -> UnknownKey:
    """The error for a key that does not exist; it names the key that was probably meant."""
    if key in REMOVED:
        return UnknownKey(key, f"there is no key {key} any more, because {REMOVED[key]}")
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    last = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    meant = f"did you mean {(near or last)[0]}?" if near or last else f"{command('train')} --cfg job prints all keys"
    return UnknownKey(key, f"there is no key {key}; {meant}")


def of_options(error: UnknownKey, choices: Mapping[str, Any]) -> UserError:
    """The same error, but for a key that the option of another group sets: the two do not fit, and both are named.

    Args:
        error: of a key that the chosen option of its own group does not have.
        choices: the option of each group.
    """
    group = error.key.partition(".")[0]
    for other, option in choices.items():
        if option and other not in (group, f"{group}s") and _sets(other, option, error.key):
            return UserError(
                f"{other}={option} sets {error.key}, which {group}={choices.get(group)} does not have; leave one out"
            )
    return error


def _sets(group: str, option: str, key: str) -> bool:
    """Whether an option sets a key, or one of those that it builds on does."""
    file = next((file for conf in (CONF, *conf_folders()) if (file := conf / group / f"{option}.yaml").exists()), None)
    if file is None:
        return False
    text = file.read_text(encoding="utf-8")
    content = yaml.safe_load(text) or {}
    package = text.partition("# @package ")[2].partition("\n")[0] or group
    place = content if package == "_global_" else {package: content}
    for name in key.split("."):
        if not isinstance(place, dict) or name not in place:
            bases = [base for base in content.get("defaults", ()) if isinstance(base, str) and base != "_self_"]
            return any(_sets(group, base, key) for base in bases)
        place = place[name]
    return True
