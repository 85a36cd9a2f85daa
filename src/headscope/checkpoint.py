"""One file to a model and its tokenizer.

A checkpoint is data: tensors, numbers, strings, lists and dicts, read with `weights_only=True`. It names the classes
of its model and tokenizer and their plain arguments; the names are looked up among the subclasses of the base that is
expected, so that a file can build nothing else.
"""

import inspect
import pickle
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from headscope import __version__
from headscope.data.tokenizer import Tokenizer
from headscope.errors import UserError
from headscope.model.position import Position
from headscope.model.transformer import LanguageModel

FORMAT = 1
PREFIX = "model."  #: of the weights' names inside a LightningModule


class Loaded(NamedTuple):
    """What a checkpoint holds. Unpacks to `model, tokenizer, about`."""

    model: LanguageModel
    tokenizer: Tokenizer
    about: dict[str, Any]


def describe(part: Any) -> dict[str, Any]:
    """A part as plain data: the name of its class and the arguments that rebuild it.

    Of a positional scheme only the options (the keyword-only arguments) are its own; the model knows the rest.
    """
    parameters = inspect.signature(type(part)).parameters.values()
    own = [p for p in parameters if p.kind is p.KEYWORD_ONLY or not isinstance(part, Position)]
    values = {p.name: getattr(part, p.name) for p in own}
    return {"class": type(part).__name__} | {
        k: describe(v) if isinstance(v, Position) else v for k, v in values.items()
    }


def subclasses(base: Any) -> dict[str, Any]:
    """A class and all below it, by name."""
    found = {base.__name__: base}
    for below in base.__subclasses__():
        found |= subclasses(below)
    return found


def constructor(description: dict[str, Any], base: type) -> Any:
    """The inverse of `describe`, up to the call: a class below `base` with its arguments filled in."""
    options = dict(description)
    name = options.pop("class")
    known = subclasses(base)
    if name not in known:
        raise UserError(f"this checkpoint wants a {base.__name__} called {name!r}, which this version does not have")
    if "position" in options:
        options["position"] = constructor(options["position"], Position)
    return partial(known[name], **options)


def card(model: LanguageModel, tokenizer: Tokenizer, **about: Any) -> dict[str, Any]:
    """What a checkpoint says of itself beside the weights."""
    about = {"version": __version__, "torch": str(torch.__version__)} | about
    return {"format": FORMAT, "model": describe(model), "tokenizer": describe(tokenizer), "about": about}


def load(path: str | Path) -> Loaded:
    """The model, in eval mode on the CPU, its tokenizer, and what the run was.

    Raises:
        UserError: no such file, a damaged one, one of another kind, or one that would run code.
    """
    saved = read(path)
    if not (isinstance(saved, dict) and isinstance(saved.get("headscope"), dict)):
        raise UserError(f"{path} is not a Headscope checkpoint; give a *.ckpt of a run's folder")
    try:
        described = saved["headscope"]
        model = constructor(described["model"], LanguageModel)()
        tokenizer = constructor(described["tokenizer"], Tokenizer)()
        weights = {k.removeprefix(PREFIX): v for k, v in saved["state_dict"].items()}
        model.load_state_dict(weights)
        about = described["about"]
    except UserError:
        raise
    except Exception as e:
        raise UserError(f"{path} is damaged or of another version ({type(e).__name__}); give another checkpoint") from e
    return Loaded(model.eval(), tokenizer, about)


def read(path: str | Path) -> Any:
    """The content of a checkpoint, tensors on the CPU; nothing in it is run.

    Raises:
        UserError: see `load`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no checkpoint at {path}; train one, or name another with checkpoint=…")
    try:
        with warnings.catch_warnings(action="ignore"):  # of a pickle that is no checkpoint: the error says it
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        reason = "holds code, not only data," if "GLOBAL" in str(e) or "reduce" in str(e) else "is damaged"
        raise UserError(f"{path} {reason} and was not loaded; give a checkpoint that Headscope wrote") from e
    except Exception as e:
        raise UserError(f"{path} cannot be read ({type(e).__name__}); it is damaged or no checkpoint") from e
