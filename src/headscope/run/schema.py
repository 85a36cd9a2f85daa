"""A whole config checked against the annotations of what it builds, before anything is called.

A place that holds a `_target_` becomes a constructor with its options filled in (a `functools.partial`); whoever owns
the place calls it with what only the run knows. The annotations of the constructors are the schema.
"""

import difflib
import importlib
import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from omegaconf import DictConfig, OmegaConf

from headscope.errors import UserError

T = TypeVar("T")

#: Where a `_target_` may be defined: the module's own name decides, not the path by which it was reached.
ALLOWED = ("headscope.", "lightning.pytorch.callbacks.", "lightning.pytorch.loggers.")


def parse(cfg: DictConfig, schema: type[T]) -> T:
    """A composed config as an instance of its schema.

    Raises:
        UserError: an unknown or missing key, a wrong type, a value out of range, a target that is not allowed.
    """
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        raise UserError(f"{min(missing)} is not given; add {min(missing)}=… to the command")
    return _parse(OmegaConf.to_container(cfg, resolve=True), schema, "")  # type: ignore[no-any-return]


def _parse(value: Any, kind: Any, at: str) -> Any:
    """A value as a kind, which is an annotation; `at` is its key, for people."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any or kind is inspect.Parameter.empty or isinstance(kind, str):
        return value
    if origin is Annotated:
        return _in_range(_parse(value, args[0], at), args[1], at)
    if origin in (Union, types.UnionType):
        return _parse_union(value, args, at)
    if origin is Literal:
        if value in args and type(value) in {type(a) for a in args}:
            return value
        raise _wrong(at, value, "one of " + ", ".join(map(str, args)))
    if origin is not None and issubclass(origin, Callable):  # type: ignore[arg-type]
        return _constructor(value, args[1], at)
    if is_dataclass(kind):
        return kind(**_arguments(value, {f.name: f.type for f in fields(kind)}, at))  # type: ignore[operator]
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong(at, value, "a mapping")
        return {k: _parse(v, args[1], f"{at}.{k}") for k, v in value.items() if v is not None}
    if origin in (list, tuple, Sequence):
        if not isinstance(value, list):
            raise _wrong(at, value, "a list, in brackets")
        return [_parse(v, args[0], f"{at}[{i}]") for i, v in enumerate(value)]
    if kind is float and type(value) is int:
        return float(value)
    if kind in _PLAIN and type(value) is not kind:
        raise _wrong(at, value, _PLAIN[kind])
    return value


_PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def _wrong(at: str, value: Any, allowed: str) -> UserError:
    given = "null" if value is None else value
    return UserError(f"{at}={given} is not {allowed}; give {'one' if ' ' in allowed else 'some'}")


def _parse_union(value: Any, kinds: Sequence[Any], at: str) -> Any:
    errors = []
    for kind in kinds:
        try:
            return _parse(value, kind, at)
        except UserError as e:
            errors.append((kind, e))
    # Say what the kind nearest to the value wants: an alternative of null or a literal says less.
    _, error = max(errors, key=lambda ke: (isinstance(value, _base(ke[0])), ke[0] is not type(None)))
    raise error


def _base(kind: Any) -> Any:
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return kind if isinstance(kind, type) else (dict if get_origin(kind) is not Literal else str)


def _in_range(value: Any, interval: str, at: str) -> Any:
    """A number inside an interval written as mathematics writes it: "[0, 1)"."""
    low, high = (float(x) for x in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if above and below and math.isfinite(value):
        return value
    low_text = f"{'at least' if interval[0] == '[' else 'above'} {low:g}"
    high_text = f" and {'at most' if interval[-1] == ']' else 'below'} {high:.10g}" if math.isfinite(high) else ""
    raise UserError(f"{at}={value} is out of range; it must be {low_text}{high_text}")


def _constructor(value: Any, base: type, at: str) -> partial[Any]:
    """A mapping with a `_target_` as that class and its options, not called."""
    if not isinstance(value, dict) or not isinstance(value.get("_target_"), str):
        raise UserError(f"{at} needs a _target_, a class below {base.__name__}; choose an option of conf/{at}")
    options = dict(value)
    cls = _resolve(options.pop("_target_"), base, f"{at}._target_")
    parameters = inspect.signature(cls).parameters
    kinds = {name: p.annotation for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    return partial(cls, **_arguments(options, kinds, at, complete=False))


def _resolve(path: str, base: type, at: str) -> type:
    """The class behind a dotted path, if it may be built in this place. Imports only what is allowed."""
    refused = UserError(f"{at}={path} is not allowed; it must be a class below {base.__name__} of Headscope")
    if not path.startswith(ALLOWED):
        raise refused
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as e:
        raise UserError(f"{at}={path} does not exist; it must be a class below {base.__name__} of Headscope") from e
    if not (isinstance(found, type) and issubclass(found, base) and f"{found.__module__}.".startswith(ALLOWED)):
        raise refused
    return found


def _arguments(values: Any, kinds: dict[str, Any], at: str, complete: bool = True) -> dict[str, Any]:
    """The values of named places, each parsed as its kind. No unknown names, and all of them if `complete`."""
    if not isinstance(values, dict):
        raise _wrong(at, values, "a mapping")
    prefix = f"{at}." if at else ""
    for name in values:
        if name not in kinds:
            raise unknown_key(f"{prefix}{name}", [f"{prefix}{k}" for k in kinds])
    for name in kinds:
        if complete and name not in values:
            raise UserError(f"{prefix}{name} is missing from the configuration; add +{prefix}{name}=…")
    return {name: _parse(values[name], kind, f"{prefix}{name}") for name, kind in kinds.items() if name in values}


def unknown_key(key: str, known: Sequence[str]) -> UserError:
    """What to say of a key that does not exist: the one that was probably meant."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    last = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    meant = f"did you mean {(near or last)[0]}?" if near or last else "python train.py --cfg job prints all keys"
    return UserError(f"there is no key {key}; {meant}")
