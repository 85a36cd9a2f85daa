"""Checks values and the options of constructors against type annotations, for configs and for checkpoints.

pydantic checks each value in strict mode. A mapping with a `_target_` becomes a `functools.partial` of that class with
its options. Each message is one line that names the key, the given value and the allowed values.
"""

import difflib
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import is_dataclass
from functools import cache, partial
from itertools import islice
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from headscope import plugins
from headscope.errors import MissingKey, UnknownKey, UserError
from headscope.shell import printable

LONGEST = 200  #: number of characters of an invalid value that a message shows
LARGEST = 2**63  #: integers must be smaller in magnitude, because tensors cannot hold larger ones

_JSON = json.JSONEncoder(default=str)  #: `iterencode` yields a list's elements one by one; shared lists can be endless

#: Modules, besides plugins, whose classes a `_target_` may name; a class must be defined there, not only imported.
ALLOWED = (
    *("headscope.model.", "headscope.data.", "headscope.training.", "headscope.watch."),
    *("lightning.pytorch.callbacks.", "lightning.pytorch.loggers."),
)

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


def check_value(value: Any, annotation: Any, at: str) -> Any:
    """Checks a value against an annotation and returns it; `at` is its dotted key in the `UserError`.

    `Callable[[A, B], Base]` accepts a mapping with a `_target_`, a subclass of `Base` that the run calls with A and B.
    """
    if "numpy" in sys.modules and isinstance(value, sys.modules["numpy"].generic):
        value = value.item()  # a number from a program in Python
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if value is None and NoneType in members:
        return None
    kind: Any = Union[tuple(member for member in members if member is not NoneType)]  # noqa: UP007
    origin, args = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(**check_options(value, kind, at))
    if origin is Callable and args and args[0] is not ...:
        return _constructor(value, len(args[0]), args[1], at)
    if origin is dict and isinstance(value, dict):
        return {check_value(k, args[0], at): check_value(v, args[1], f"{at}.{k}") for k, v in value.items()}
    for element in value if isinstance(value, list) else [value]:
        if isinstance(element, int) and abs(element) >= LARGEST:
            raise invalid_value(at, element, "between -2^63 and 2^63")
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as e:
        raise _explained(e, value, members, at) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    adapter = TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True))
    # An annotation in Lightning may name a class from a package that is not installed.
    return adapter if adapter.pydantic_complete else TypeAdapter(Any)


def check_options(values: Any, cls: type, at: str, passed: int = 0) -> dict[str, Any]:
    """Checks named values against the parameters of a class, except its first `passed` parameters; returns them."""
    if not isinstance(values, dict):
        raise invalid_value(at, values, "a mapping")
    prefix, options = at and f"{at}.", _options(cls, passed, values)
    for name, value in values.items():
        if reason := getattr(cls, "REFUSED", {}).get(name):
            raise UserError(f"{prefix}{name} cannot be set: {reason}")
        if name not in options:
            raise UnknownKey(f"{prefix}{name}", [f"{prefix}{option}" for option in options])
        if value == "???":  # required, in a file of conf/
            raise UserError(f"{prefix}{name} has no value; add {prefix}{name}=… to the command")
    for name, option in options.items():
        if option.default is option.empty and name not in values:
            raise MissingKey(f"{prefix}{name}")
    annotations = {n: Any if o.annotation is o.empty else o.annotation for n, o in options.items() if n in values}
    return {name: check_value(values[name], annotation, f"{prefix}{name}") for name, annotation in annotations.items()}


def _options(cls: type, passed: int, names: Iterable[str]) -> dict[str, inspect.Parameter]:
    """Returns the parameters that may be set; if the class has `**others`, these include all of `names`."""
    of_lightning = getattr(cls.__init__, "__module__", "").startswith("lightning.")  # type: ignore[misc]
    try:
        parameters = list(inspect.signature(cls, eval_str=not of_lightning).parameters.values())
    except NameError as e:  # in a plugin
        raise UserError(f"{cls.__qualname__}: an annotation cannot be evaluated: {e}") from e
    parameters = [p for i, p in enumerate(parameters) if i >= passed or p.kind is p.KEYWORD_ONLY]
    options = {p.name: p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    others = {name: p for p in parameters if p.kind is p.VAR_KEYWORD for name in names}
    return others | options


def _constructor(value: Any, passed: int, base: type, at: str) -> partial[Any]:
    """Returns a `partial` of a class with its options; `_target_` is its path or, from a checkpoint, the class."""
    options = dict(value) if isinstance(value, dict) else {}
    target = options.pop("_target_", None)
    if not isinstance(target, str | type):
        raise invalid_value(at, value, f"a mapping with a _target_, a subclass of {base.__name__}")
    cls = target if isinstance(target, type) else _resolve(target, base, f"{at}._target_")
    if lacks := not_implemented(cls):
        raise UserError(f"{at}: {cls.__name__} is a base class, which does not implement {lacks}; use a subclass of it")
    return partial(cls, **check_options(options, cls, at, passed))


def _resolve(path: str, base: type, at: str) -> type:
    """Imports and returns the class at a dotted path, which must be a subclass of `base` in an allowed module."""
    allowed = (*ALLOWED, *(f"{name}." for name in plugins.names()))
    places = ", ".join(module.rstrip(".") for module in allowed)
    wanted = f"a subclass of {base.__name__}, defined in one of {places}, or in a package that {plugins.NAMED} names"
    module, _, name = path.rpartition(".")
    try:
        imported = plugins.imported if plugins.belongs(module) else importlib.import_module
        found = getattr(imported(module), name) if path.startswith(allowed) else None
    except (ImportError, AttributeError) as e:
        raise UserError(f"{at}={path} cannot be imported ({e}); it must be {wanted}") from e
    if not (isinstance(found, type) and issubclass(found, base) and f"{found.__module__}.".startswith(allowed)):
        raise invalid_value(at, path, wanted)
    return found


def not_implemented(cls: type) -> str | None:
    """Returns the name of a method that is abstract or only raises `NotImplementedError`; None if there is none."""
    if getattr(cls.__init__, "__module__", "").startswith("torch.nn."):  # type: ignore[misc]
        return "__init__"
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        raises = getattr(getattr(method, "__code__", None), "co_names", ())[:1] == ("NotImplementedError",)
        if getattr(method, "__isabstractmethod__", False) or (raises and method.__name__ == name):
            return name
    return None


def _explained(error: ValidationError, value: Any, members: Sequence[Any], at: str) -> UserError:
    """Returns pydantic's error about a value as one line; `members` are the annotations that the value may have."""
    errors = error.errors(include_url=False)  # one per member of a union; the deepest is from the best-fitting member
    loc, given = max(((e["loc"], e["input"]) for e in errors), key=lambda pair: len(pair[0]))
    allowed = [*dict.fromkeys(must_be(e) for e in errors if e["input"] is given)]
    index = "".join(f"[{i}]" for i in loc if isinstance(i, int))
    names = [name for member in members for name in get_args(member) if isinstance(name, str)]
    typed = "" if isinstance(given, dict | list | tuple) else str(given)
    if meant := difflib.get_close_matches(typed, names, n=1):
        return invalid_value(at + index, given, f"{' or '.join(allowed)}; did you mean {at}={meant[0]}?")
    allowed += ["null"] * (NoneType in members and given is value)
    return invalid_value(at + index, given, " or ".join(allowed))


def must_be(error: Any) -> str:
    """Returns, in plain words, the condition that the value of a pydantic error must meet."""
    if error["type"] == "literal_error":
        expected = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"one of {expected}" if "," in expected else expected
    words = MUST_BE.get(error["type"], error["msg"].removeprefix("Input should be "))
    return str(words.format(**error.get("ctx", {})))


def invalid_value(key: str, value: Any, allowed: str) -> UserError:
    """Returns the error for a value that is not allowed for a key; it shows the beginning of a long value."""
    try:
        given = value if isinstance(value, str) else "".join(islice(_JSON.iterencode(value), LONGEST + 1))
    except (TypeError, ValueError, RecursionError):  # an integer of more than 4,300 digits, lists nested too deeply
        given = f"a value of type {type(value).__name__}"
    return UserError(f"{one_line(key)}={one_line(given)} must be {allowed}")


def one_line(text: str, longest: int = LONGEST) -> str:
    """Returns the beginning of a text as one printable line."""
    line = printable(" ".join(text[: 2 * longest].split()))
    return line if len(line) <= longest and len(text) <= 2 * longest else f"{line[:longest]}…"
