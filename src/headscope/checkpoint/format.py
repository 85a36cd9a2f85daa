"""Describes a model, its tokenizer and its run as plain data, and builds objects from such a description.

A description names classes and their arguments. A name is looked up only among the subclasses of the base class that
is expected in its place, so a file cannot build anything else.
"""

import inspect
from functools import partial
from typing import Any

import torch

from headscope import __version__, plugins
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.model.feedforward import FeedForward
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Position
from headscope.model.qk_norm import QKNorm
from headscope.model.transformer import LanguageModel, TransformerLM

FORMAT = 2  #: raised by one when `card` changes what it writes; see `migration`
MODELS = (TransformerLM, FixedContextMLP)  #: imported so that they are among the subclasses of LanguageModel
#: Arguments of a model that are objects, and the base class of each.
PARTS: dict[str, type] = {"position": Position, "feedforward": FeedForward, "qk_norm": QKNorm}


def describe(part: Any) -> dict[str, Any]:
    """Returns an object as plain data: the name of its class and the arguments that rebuild it.

    A part of a model keeps only its options (keyword-only arguments), because the model supplies the other arguments.
    """
    bases = tuple(PARTS.values())
    parameters = inspect.signature(type(part)).parameters.values()
    kept = [p for p in parameters if p.kind is p.KEYWORD_ONLY or not isinstance(part, bases)]
    values = {p.name: getattr(part, p.name) for p in kept}
    name, module = type(part).__name__, type(part).__module__
    described = {"class": name} if module.startswith("headscope.") else {"class": name, "module": module}
    return described | {k: describe(v) if isinstance(v, bases) else v for k, v in values.items()}


def unlike(old: Any, new: Any) -> str:
    """Returns the arguments that differ between two models, such as `n_heads=8, here 4`, or an empty string.

    Dropout and block size are ignored.
    """
    there, here = describe(old), describe(new)
    keys = [key for key in here if key not in ("dropout", "block_size") and here[key] != there.get(key)]
    return ", ".join(f"{key}={_as_call(there.get(key))}, here {_as_call(here[key])}" for key in keys)


def _as_call(value: Any) -> Any:
    """Returns the description of a part as `Class(option=value)`; any other value unchanged."""
    if not isinstance(value, dict):
        return value
    options = ", ".join(f"{k}={v}" for k, v in value.items() if k not in ("class", "module"))
    return f"{value['class']}({options})"


def subclasses(base: Any, module: str | None = None) -> dict[str, Any]:
    """Returns a class and its subclasses by name, if they are defined in a module, or with None in Headscope.

    A class takes precedence over its subclasses of the same name, which `generation.bare` defines.
    """
    found: dict[str, Any] = {}
    for subclass in base.__subclasses__():
        found = subclasses(subclass, module) | found
    matches = base.__module__ == module if module else base.__module__.startswith("headscope.")
    return found | ({base.__name__: base} if matches else {})


def constructor(description: dict[str, Any], base: type) -> Any:
    """Returns the class that `describe` described, a subclass of `base`, with its arguments filled in.

    Raises:
        UserError: this version, or an allowed plugin, has no such class.
    """
    options = dict(description)
    name, module = options.pop("class"), options.pop("module", None)
    if module and name not in subclasses(base, module):
        _import(module, name)
    known = subclasses(base, module)
    if name not in known:
        where = module or "this version"
        raise UserError(f"this checkpoint needs a {base.__name__} called {name!r}, which {where} does not have")
    for part in PARTS.keys() & options.keys():
        options[part] = constructor(options[part], PARTS[part])
    return partial(known[name], **options)


def _import(module: str, name: str) -> None:
    """Imports the module of a plugin that defines a class; raises UserError if the plugin is not allowed."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise ValueError("module")
    if not plugins.belongs(module):
        package = module.partition(".")[0]
        raise UserError(
            f"this checkpoint needs the class {name} of {module}, which is not Headscope's; if you trust that package,"
            f" install it and set {plugins.NAMED}={package}"
        )
    plugins.imported(module)


def card(model: LanguageModel, tokenizer: Tokenizer, **about: Any) -> dict[str, Any]:
    """Returns the description that is saved with the weights. `about` describes the run."""
    about = {"version": __version__, "torch": str(torch.__version__)} | about
    return {"format": FORMAT, "model": describe(model), "tokenizer": describe(tokenizer), "about": about}
