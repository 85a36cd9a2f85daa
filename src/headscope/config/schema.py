"""Checks a composed config against the annotations of the classes in it, before any of them is instantiated.

The signatures of dataclasses and constructors are the schema; pydantic checks each value in strict mode. A mapping
with a `_target_` becomes a `functools.partial` of that class with its options, which other code calls later. Each error
message is one line that names the key, the given value and the allowed values.
"""

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from headscope import plugins
from headscope.annotations import check_value, invalid_value
from headscope.config.base_classes import not_implemented
from headscope.config.overrides import flat
from headscope.errors import UnknownKey, UserError
from headscope.installed import CONF, command

T = TypeVar("T")

#: Modules, besides plugins, whose classes a `_target_` may name; a class must be defined there, not only imported.
ALLOWED = (
    *("headscope.model.", "headscope.data.", "headscope.training.", "headscope.watch."),
    *("lightning.pytorch.callbacks.", "lightning.pytorch.loggers."),
)


def parse(config: dict[str, Any], schema: type[T], choices: Mapping[str, Any] = {}) -> T:
    """Checks a composed config and returns an instance of its schema, a dataclass with one field per key.

    A field of type `Callable[[A, B], Base]` accepts a subclass of `Base`; the caller of the constructor
    passes its first two arguments. `choices`, the chosen option of each group, is for the message about incompatible
    options. Raises `UserError`, or `TypeError` if an annotation in our own code cannot be checked.
    """
    for key, value in flat(config).items():
        _refuse_huge(key, value)
    try:
        return schema(**_arguments(config, schema, ""))
    except UnknownKey as e:
        raise _conflict(e, choices) from e


def _refuse_huge(key: str, value: Any) -> None:
    """Raises `UserError` for an integer that torch could not store."""
    for element in value if isinstance(value, list) else [value]:
        if isinstance(element, int) and abs(element) >= 2**63:
            raise invalid_value(key, element, f"below {2**63} in size")


def _arguments(values: Any, cls: type, at: str, passed: int = 0) -> dict[str, Any]:
    """Checks named values against the parameters of a class, except its first `passed` parameters."""
    if not isinstance(values, dict):
        raise invalid_value(at, values, "a mapping")
    prefix, options = at and f"{at}.", _options(cls, passed, values)
    for name, value in values.items():
        if value == "???":
            raise UserError(f"{prefix}{name} has no value; add {prefix}{name}=… to the command")
        if reason := getattr(cls, "REFUSED", {}).get(name):
            raise UserError(f"{prefix}{name} cannot be set: {reason}")
        if name not in options:
            raise unknown_key(f"{prefix}{name}", [f"{prefix}{option}" for option in options])
    for name, option in options.items():
        if option.default is option.empty and name not in values:
            raise UserError(f"{prefix}{name} is missing from the configuration; add +{prefix}{name}=…")
    return {n: _check(values[n], option.annotation, f"{prefix}{n}") for n, option in options.items() if n in values}


def _options(cls: type, passed: int, names: Iterable[str]) -> dict[str, inspect.Parameter]:
    """Returns the parameters that a config may set; if the class has `**others`, these include all of `names`."""
    foreign = getattr(cls.__init__, "__module__", "").startswith("lightning.")  # type: ignore[misc]
    of_a_plugin = plugins.belongs(cls.__module__)
    mistake = UserError if of_a_plugin else TypeError
    try:
        parameters = list(inspect.signature(cls, eval_str=of_a_plugin).parameters.values())[passed:]
    except NameError as e:
        raise mistake(f"{cls.__qualname__}: an annotation cannot be evaluated: {e}") from e
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
    """Checks a value against the annotation `kind` and returns it; `at` is its dotted key."""
    annotation, nullable = kind, NoneType in get_args(kind)
    if "numpy" in sys.modules and isinstance(value, sys.modules["numpy"].generic):
        value = value.item()  # a number from a program in Python
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
    return check_value(value, annotation, at)


def _constructor(value: Any, passed: int, base: type, at: str) -> partial[Any]:
    """Returns a `partial` of the class that `_target_` names, with its options."""
    if not isinstance(value, dict) or not isinstance(value.get("_target_"), str):
        raise invalid_value(at, value, f"a mapping with a _target_, a subclass of {base.__name__}")
    cls = _resolve(value["_target_"], base, f"{at}._target_")
    options = {name: option for name, option in value.items() if name != "_target_"}
    return partial(cls, **_arguments(options, cls, at, passed))


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
    if lacks := not_implemented(found):
        raise UserError(f"{at}={path} is a base class, which does not implement {lacks}; use a class below it")
    return found


PROBES = "every command describes heads on the same texts; leave the key out, also in a run's .hydra/overrides.yaml"
#: Keys of earlier versions, and the reason why each was removed.
REMOVED = {"callbacks.heads.texts": PROBES, "callbacks.heads.longest": PROBES}


def unknown_key(key: str, known: Sequence[str]) -> UnknownKey:
    """Returns the error for a key that does not exist; the message suggests the nearest known key."""
    if key in REMOVED:
        return UnknownKey(key, f"the key {key} was removed, because {REMOVED[key]}")
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    last = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    meant = f"did you mean {(near or last)[0]}?" if near or last else f"{command('train')} --cfg job prints all keys"
    return UnknownKey(key, f"there is no key {key}; {meant}")


def _conflict(error: UnknownKey, choices: Mapping[str, Any]) -> UserError:
    """Returns an error that names two incompatible options if another group's option sets the key, else `error`."""
    group = error.key.partition(".")[0]
    for other, option in choices.items():
        if option and other not in (group, f"{group}s") and _sets(other, option, error.key):
            lacking = f"{group}={choices.get(group)}"
            return UserError(f"{other}={option} sets {error.key}, which {lacking} does not have; leave out one")
    return error


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
