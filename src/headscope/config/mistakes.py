"""What is said of a mistake in a config: one line that names the key, what was given, and what is allowed."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

from headscope.errors import UnknownKey, UserError
from headscope.installed import command

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
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    last = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    meant = f"did you mean {(near or last)[0]}?" if near or last else f"{command('train')} --cfg job prints all keys"
    return UnknownKey(key, f"there is no key {key}; {meant}")
