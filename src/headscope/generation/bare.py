"""A model without what `nn.Module` does around every call."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from torch import nn

M = TypeVar("M", bound=nn.Module)


def bare(model: M, instead: Mapping[type[nn.Module], Callable[[Any], nn.Module]] | None = None) -> M:
    """Returns a twin of a model that computes by the same `forward` methods on the same weights, only sooner.

    To call a module is to ask for hooks first, and each weight and part that it names is looked up in three
    dictionaries: half the time of a small model that reads one token. In the twin a call is `forward` itself, and every
    weight and part a plain attribute. Nothing is computed in a second way, so nothing can drift.

    The twin keeps the mode that the model has now; dropout that is off is left out. What is compiled runs uncompiled.
    A model with hooks comes back as it is: somebody waits for them to be called.

    Args:
        model: any module.
        instead: for a class of parts, what makes another part out of each of them.
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        return model
    return cast(M, _twin(model, instead or {}))


def _twin(module: Any, instead: Mapping[type[nn.Module], Callable[[Any], nn.Module]]) -> Any:
    if type(module) in instead:
        module = instead[type(module)](module)
    if isinstance(module, nn.Dropout) and not module.training:
        module = nn.Identity()
    twin = object.__new__(_called_directly(module.__class__))
    parts = {name: part and _twin(part, instead) for name, part in module._modules.items()}
    vars(twin).update(vars(module), _modules=parts, **module._parameters, **module._buffers, **parts)
    return twin


@cache
def _called_directly(kind: type[nn.Module]) -> type[nn.Module]:
    """A class whose instances compute as those of a class of modules do, when they are called."""
    return type(kind.__name__, (kind,), {"__call__": kind.forward})
