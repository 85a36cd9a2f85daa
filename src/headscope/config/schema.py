"""Checks a composed config against the annotations of what it builds, before anything is called.

The signatures of dataclasses and constructors are the schema; pydantic checks each value, in strict mode. A mapping
with a `_target_` becomes a constructor with its options filled in (a `functools.partial`), which its owner calls.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache, partial
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from headscope import plugins
from headscope.config.mistakes import must_be, of_options, unknown_key, wrong
from headscope.errors import UnknownKey, UserError

T = TypeVar("T")

#: Where the class of a `_target_` must be defined, or in a plugin: its own module decides, not the path to it.
ALLOWED = (
    *("headscope.model.", "headscope.data.", "headscope.training.", "headscope.watch."),
    *("lightning.pytorch.callbacks.", "lightning.pytorch.loggers."),
)


def parse(config: dict[str, Any], schema: type[T], choices: Mapping[str, Any] = {}) -> T:
    """Turns a composed config into an instance of its schema.

    Args:
        config: plain data, resolved.
        schema: a dataclass with a field for each key. In a field of type `Callable[[A, B], Base]` goes a class below
            `Base`; the owner of the config passes its first two arguments.
        choices: the option of each group, for the message on two that do not fit.

    Raises:
        UserError: an unknown or missing key, a value that is not allowed, a class that may not be built there.
        TypeError: our own mistake, an annotation that cannot be checked.
    """
    try:
        return schema(**_arguments(config, schema, ""))
    except UnknownKey as e:
        raise of_options(e, choices) from e


def _arguments(values: Any, cls: type, at: str, passed: int = 0) -> dict[str, Any]:
    """Checks named values against the parameters of a class, except the first ones, which its owner passes."""
    if not isinstance(values, dict):
        raise wrong(at, values, "a mapping")
    prefix, options = at and f"{at}.", _options(cls, passed, values)
    for name in values:
        if reason := getattr(cls, "REFUSED", {}).get(name):
            raise UserError(f"{prefix}{name} cannot be set: {reason}")
        if name not in options:
            raise unknown_key(f"{prefix}{name}", [f"{prefix}{option}" for option in options])
    for name, option in options.items():
        if option.default is option.empty and name not in values:
            raise UserError(f"{prefix}{name} is missing from the configuration; add +{prefix}{name}=…")
    return {n: _check(values[n], option.annotation, f"{prefix}{n}") for n, option in options.items() if n in values}


def _options(cls: type, passed: int, names: Iterable[str]) -> dict[str, inspect.Parameter]:
    """The parameters that a config may fill in; `**others` stands for every further name that it has."""
    foreign = getattr(cls.__init__, "__module__", "").startswith("lightning.")  # type: ignore[misc]
    of_a_plugin = plugins.belongs(cls.__module__)
    mistake = UserError if of_a_plugin else TypeError  # theirs, or ours
    try:
        parameters = list(inspect.signature(cls, eval_str=of_a_plugin).parameters.values())[passed:]
    except NameError as e:
        raise mistake(f"{cls.__qualname__}: {e}, in an annotation") from e
    for p in parameters:
        if not foreign and not _is_checked(p.annotation):
            raise mistake(f"{cls.__qualname__}: {p.name}: the annotation {p.annotation!r} cannot be checked")
    options = {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}
    others = {name: p for p in parameters if p.kind is p.VAR_KEYWORD for name in names}
    return others | options


def _is_checked(kind: Any) -> bool:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _is_checked(args[0])
    if origin is Callable:
        return len(args) == 2 and args[0] is not ... and isinstance(args[1], type)
    if origin in (Union, UnionType, Sequence, dict):
        return all(map(_is_checked, args))
    return origin is Literal or is_dataclass(kind) or kind in (int, float, bool, str, NoneType)


def _check(value: Any, kind: Any, at: str) -> Any:
    """Checks a value against an annotation; `at` is its dotted key."""
    nullable = NoneType in get_args(kind)
    if nullable and value is None:
        return None
    kind = Union[tuple(k for k in get_args(kind) if k is not NoneType)] if nullable else kind  # noqa: UP007
    origin, args = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(**_arguments(value, kind, at))
    if origin is Callable and args and args[0] is not ...:
        return _constructor(value, len(args[0]), args[1], at)
    if origin is dict and isinstance(value, dict):
        return {_check(k, args[0], at): _check(v, args[1], f"{at}.{k}") for k, v in value.items()}
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as e:
        errors = e.errors(include_url=False)  # several for a union; the deepest is of the type that fits best
        loc, given = max(((error["loc"], error["input"]) for error in errors), key=lambda place: len(place[0]))
        allowed = dict.fromkeys(must_be(error) for error in errors if error["input"] is given)
        index = "".join(f"[{i}]" for i in loc if isinstance(i, int))
        raise wrong(at + index, given, " or ".join([*allowed, *["null"] * (nullable and given is value)])) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    adapter = TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True))
    return adapter if adapter.pydantic_complete else TypeAdapter(Any)  # Lightning's, of a package not installed


def _constructor(value: Any, passed: int, base: type, at: str) -> partial[Any]:
    """A mapping with a `_target_` as that class with its options filled in, not called."""
    if not isinstance(value, dict) or not isinstance(value.get("_target_"), str):
        raise wrong(at, value, f"a mapping with a _target_, a class below {base.__name__}")
    cls = _resolve(value["_target_"], base, f"{at}._target_")
    options = {name: option for name, option in value.items() if name != "_target_"}
    return partial(cls, **_arguments(options, cls, at, passed))


def _resolve(path: str, base: type, at: str) -> type:
    """The class behind a dotted path, if it may be built in this place. Imports nothing but allowed modules."""
    allowed = (*ALLOWED, *(f"{name}." for name in plugins.names()))
    places = ", ".join(module.rstrip(".") for module in allowed)
    wanted = f"a class below {base.__name__}, defined in one of {places}, or in a package that {plugins.NAMED} names"
    module, _, name = path.rpartition(".")
    try:
        found = getattr(_module(module), name) if path.startswith(allowed) else None
    except (ImportError, AttributeError) as e:
        raise UserError(f"{at}={path} cannot be imported ({e}); it must be {wanted}") from e
    if isinstance(found, type) and issubclass(found, base) and f"{found.__module__}.".startswith(allowed):
        return found
    raise wrong(at, path, wanted)


def _module(name: str) -> ModuleType:
    return plugins.imported(name) if plugins.belongs(name) else importlib.import_module(name)
