"""How a checkpoint describes its model, tokenizer and run: plain data that names classes and their arguments.

A name is looked up among the subclasses of the base that is expected there, so a file can build nothing else.
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

FORMAT = 2  #: raised when this file changes what it writes; see `migration`
MODELS = (TransformerLM, FixedContextMLP)  #: imported so that they are among the subclasses of LanguageModel
#: Arguments of a model that are parts with a class of their own, and the base expected there.
PARTS: dict[str, type] = {"position": Position, "feedforward": FeedForward, "qk_norm": QKNorm}


def describe(part: Any) -> dict[str, Any]:
    """A part as plain data: the name of its class and the arguments that rebuild it.

    A part of a model stores its options (keyword-only arguments) only; the model supplies the other arguments.
    """
    bases = tuple(PARTS.values())
    parameters = inspect.signature(type(part)).parameters.values()
    own = [p for p in parameters if p.kind is p.KEYWORD_ONLY or not isinstance(part, bases)]
    values = {p.name: getattr(part, p.name) for p in own}
    kind, ours = type(part), type(part).__module__.startswith("headscope.")
    named = {"class": kind.__name__} | ({} if ours else {"module": kind.__module__})
    return named | {k: describe(v) if isinstance(v, bases) else v for k, v in values.items()}


def unlike(old: Any, new: Any) -> str:
    """What differs between two models with weights of the same shapes, so that they compute something else.

    Dropout and the longest sequence do not count. Returns `n_heads=8, here 4`, or an empty text.
    """
    there, here = describe(old), describe(new)
    keys = [key for key in here if key not in ("dropout", "block_size") and here[key] != there.get(key)]
    return ", ".join(f"{key}={_in_a_word(there.get(key))}, here {_in_a_word(here[key])}" for key in keys)


def _in_a_word(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    options = ", ".join(f"{k}={v}" for k, v in value.items() if k not in ("class", "module"))
    return f"{value['class']}({options})"


def subclasses(base: Any, module: str | None = None) -> dict[str, Any]:
    """A class and those below it that are defined in a module, or for None in Headscope, by name.

    A class hides those below it of its own name: see `generation.bare`.
    """
    found: dict[str, Any] = {}
    for below in base.__subclasses__():
        found = subclasses(below, module) | found
    here = base.__module__ == module if module else base.__module__.startswith("headscope.")
    return found | ({base.__name__: base} if here else {})


def constructor(description: dict[str, Any], base: type) -> Any:
    """The inverse of `describe`, up to the call: a class below `base` with its arguments filled in."""
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
    """Imports a plugin's module, which a checkpoint says has a class.

    Raises:
        UserError: no plugin of that name is allowed, or it cannot be imported.
        ValueError: that is no module's name.
    """
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
    """The description that is saved beside the weights."""
    about = {"version": __version__, "torch": str(torch.__version__)} | about
    return {"format": FORMAT, "model": describe(model), "tokenizer": describe(tokenizer), "about": about}
