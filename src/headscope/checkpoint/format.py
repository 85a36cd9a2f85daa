"""Headscope's own files: a run's checkpoint, which Lightning writes, and its export to safetensors.

Both contain a description (card) of model, tokenizer and run as plain data. The card names classes and their
arguments, from which objects are built. Each class is looked up only among the subclasses of the expected base class,
so a file cannot create other objects.

A release that changes the output of `card` increases FORMAT by one and adds an upgrade from the old format to STEPS.
`tests/checkpoint/fixtures` has a small checkpoint of every format.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from headscope import __version__, plugins
from headscope.annotations import one_line
from headscope.checkpoint.source import CardAndWeights, Source, checked
from headscope.checkpoint.weights import plain_weights
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.model.feedforward import FeedForward
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Position
from headscope.model.qk_norm import QKNorm
from headscope.model.transformer import LanguageModel, TransformerLM

FORMAT = 2
PREFIX = "model."  #: prefix that a LightningModule adds to the names of its model's weights
MODELS = (TransformerLM, FixedContextMLP)  #: imported so that they are among the subclasses of LanguageModel
#: Arguments of a model that are objects, and the base class of each.
PARTS: dict[str, type] = {"position": Position, "feedforward": FeedForward, "qk_norm": QKNorm}


def describe(part: Any) -> dict[str, Any]:
    """Returns an object as plain data: the name of its class and the arguments that rebuild it.

    The description of a part of a model has only its options (keyword-only arguments); the model supplies the others.
    """
    bases = tuple(PARTS.values())
    parameters = inspect.signature(type(part)).parameters.values()
    kept = [p for p in parameters if p.kind is p.KEYWORD_ONLY or not isinstance(part, bases)]
    values = {p.name: getattr(part, p.name) for p in kept}
    name, module = type(part).__name__, type(part).__module__
    described = {"class": name} if module.startswith("headscope.") else {"class": name, "module": module}
    return described | {k: describe(v) if isinstance(v, bases) else v for k, v in values.items()}


def differences(old: Any, new: Any) -> str:
    """Returns the arguments that differ between two models, such as `n_heads=8, here 4`, or an empty string.

    Dropout and block size are ignored.
    """
    old_card, new_card = describe(old), describe(new)
    keys = [key for key in new_card if key not in ("dropout", "block_size") and new_card[key] != old_card.get(key)]
    return ", ".join(f"{key}={_as_call(old_card.get(key))}, here {_as_call(new_card[key])}" for key in keys)


def _as_call(value: Any) -> Any:
    """Returns the description of a part as text, `Class(option=value)`; returns any other value unchanged."""
    if not isinstance(value, dict):
        return value
    options = ", ".join(f"{k}={v}" for k, v in value.items() if k not in ("class", "module"))
    return f"{value['class']}({options})"


def subclasses(base: Any, module: str | None = None) -> dict[str, Any]:
    """Returns `base` and its subclasses, by name, if `module` defines them (None: any module of Headscope).

    A class takes precedence over its subclasses of the same name, which `generation.fast_copies` creates.
    """
    found: dict[str, Any] = {}
    for subclass in base.__subclasses__():
        found = subclasses(subclass, module) | found
    matches = base.__module__ == module if module else base.__module__.startswith("headscope.")
    return found | ({base.__name__: base} if matches else {})


def constructor(description: dict[str, Any], base: type, at: str) -> Any:
    """Returns the described class, a subclass of `base`, as a `partial` with the described arguments.

    `at` is the key of the description in messages. Raises UserError if neither this version nor an allowed plugin has
    such a class, if it is a base class, or if an argument does not have the type and the range of its annotation.
    """
    return checked(_with_classes(description, base), Callable[[], base], at)


def _with_classes(description: dict[str, Any], base: type) -> dict[str, Any]:
    """Returns a description with the class itself under `_target_`, as `annotations.check_value` expects it."""
    options = dict(description)
    name, module = options.pop("class"), options.pop("module", None)
    shown, package = (one_line(text or "", 100) for text in (name, module))
    if module and name not in subclasses(base, module):
        if not all(part.isidentifier() for part in module.split(".")):
            raise ValueError("module")
        if not plugins.belongs(module):
            raise UserError(
                f"this checkpoint needs the class {shown} from {package}, which is not part of Headscope; if you trust"
                f" that package, install it and set {plugins.NAMED}={package.partition('.')[0]}"
            )
        plugins.imported(module)
    known = subclasses(base, module)
    if name not in known:
        where = package or "this version"
        raise UserError(f"this checkpoint needs a {base.__name__} called {shown!r}, which {where} does not have")
    parts = {part: _with_classes(options[part], PARTS[part]) for part in PARTS.keys() & options.keys()}
    return options | parts | {"_target_": known[name]}


def card(model: LanguageModel, tokenizer: Tokenizer, **about: Any) -> dict[str, Any]:
    """Returns the description that is saved with the weights. `about` describes the run."""
    about = {"version": __version__, "torch": str(torch.__version__)} | about
    return {"format": FORMAT, "model": describe(model), "tokenizer": describe(tokenizer), "about": about}


def _add_classes_of_parts(card: dict[str, Any]) -> dict[str, Any]:
    """Upgrades format 1, which did not store the classes of feed-forward and QK norm, because each had only one."""
    model = dict(card["model"])
    if "position" in model:
        model |= {"feedforward": {"class": "GELU"}, "qk_norm": {"class": "QKNorm"}}
    return card | {"format": 2, "model": model}


#: For each older format, the function that upgrades a description to the next format.
STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _add_classes_of_parts}


def recognises(source: Source) -> bool:
    """Whether Headscope wrote the file."""
    return isinstance(source.content.get("headscope"), dict)


def read(source: Source) -> CardAndWeights:
    """Returns the card and the weights; see `reading.FORMATS`."""
    card = to_current(source.content["headscope"], source.path)
    step = {"step": source.content["global_step"]} if "global_step" in source.content else {}
    saved = plain_weights(source.content["state_dict"])
    weights = {name.removeprefix(PREFIX): weight for name, weight in saved.items()}
    return card | {"about": card.get("about", {}) | step}, weights


def to_current(card: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Returns a description in the current format; raises UserError if a newer version wrote the file at `path`."""
    number = card.get("format")
    if type(number) is not int or number < 1:
        raise ValueError("format")
    if number > FORMAT:
        raise UserError(f"{path} has format {number}, but this version reads formats up to {FORMAT}; upgrade Headscope")
    for step in range(number, FORMAT):
        card = STEPS[step](card)
    return card
