"""Checks a value against a type annotation, with an error message in plain words.

Configs and checkpoints use the same check, so that a file cannot contain a value that a config cannot set.
"""

import difflib
import json
from functools import cache
from types import NoneType
from typing import Any, Union, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from headscope.errors import UserError

LONGEST = 200  #: number of characters of an invalid value that a message shows
LARGEST = 2**63  #: integers must be smaller in magnitude, because tensors cannot hold larger ones

#: What a value must be, by the type of pydantic's error.
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


def check_value(value: Any, kind: Any, at: str) -> Any:
    """Checks a value against the annotation `kind` and returns it; `at` is its name in the `UserError`."""
    nullable = NoneType in get_args(kind)
    if nullable and value is None:
        return None
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise invalid_value(at, value, "between -2^63 and 2^63")
    kind = Union[tuple(k for k in get_args(kind) if k is not NoneType)] if nullable else kind  # noqa: UP007
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as e:
        errors = e.errors(include_url=False)  # one per member of a union; the deepest is from the best-fitting member
        loc, given = max(((error["loc"], error["input"]) for error in errors), key=lambda error: len(error[0]))
        allowed = dict.fromkeys(must_be(error) for error in errors if error["input"] is given)
        index = "".join(f"[{i}]" for i in loc if isinstance(i, int))
        names = [name for k in (kind, *get_args(kind)) for name in (get_args(k) or [k]) if isinstance(name, str)]
        if meant := difflib.get_close_matches(str(given), names, n=1):
            raise invalid_value(at + index, given, f"{' or '.join(allowed)}; did you mean {at}={meant[0]}?") from None
        either = " or ".join([*allowed, *["null"] * (nullable and given is value)])
        raise invalid_value(at + index, given, either) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    adapter = TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True))
    # An annotation in Lightning may name a class from a package that is not installed.
    return adapter if adapter.pydantic_complete else TypeAdapter(Any)


def must_be(error: Any) -> str:
    """Returns, in plain words, the condition that the value of a pydantic error must meet."""
    if error["type"] == "literal_error":
        expected = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"one of {expected}" if "," in expected else expected
    words = MUST_BE.get(error["type"], error["msg"].removeprefix("Input should be "))
    return str(words.format(**error.get("ctx", {})))


def invalid_value(key: str, value: Any, allowed: str) -> UserError:
    """Returns the error for a value that is not allowed for a key; the message shows the beginning of a long value."""
    if isinstance(value, str):
        given = value
    elif isinstance(value, int) and abs(value) >= LARGEST:  # Python refuses to print integers of 4,301 digits
        given = f"{'-' * (value < 0)}{value.bit_length() * 0.30103:.0f} digits"
    else:
        try:
            given = json.dumps(value, default=str)
        except (ValueError, RecursionError):  # a huge integer in a list, or lists nested too deeply
            given = f"a {type(value).__name__}"
    given = " ".join(given.split())
    given = given if len(given) <= LONGEST else f"{given[:LONGEST]}…"
    return UserError(f"{key}={given} must be {allowed}")
