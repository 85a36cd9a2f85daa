"""Detects modified models. A faster copy of a model is exact only if calling a part of it means calling `forward`."""

from collections.abc import Mapping, Sized
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

from headscope import plugins

CALL = nn.Module.__call__  #: calls the hooks and `forward`
OURS = ("torch.nn.modules.", "headscope.")  #: modules whose classes may run without `CALL`, as may those of plugins


def is_modified(model: nn.Module) -> bool:
    """Whether calling a part of the model does more than calling the `forward` of a known class.

    This is so if the part has hooks, a `forward` of its own (`model.head.forward = patched`), a parametrization, or a
    class from elsewhere, such as a replaced layer. Hooks for all modules count too.
    """
    return has_global_hooks() or not all(_is_original(module) for module in model.modules())


def has_global_hooks() -> bool:
    """Whether a hook is registered for all modules."""
    return bool(torch_module._has_any_global_hook())  # type: ignore[no-untyped-call]


def _is_original(module: nn.Module) -> bool:
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        return False
    kind = type(module)
    known = kind.__module__.startswith(OURS) or plugins.belongs(kind.__module__)
    return known and kind.__call__ is CALL


class Fingerprint:
    """The parts of a model at one time, to detect later modifications.

    A comparison takes 17 µs for `model=nano`, 3% of the time in which that model reads a token.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.modules())
        self._counted: list[Sized] = []  # modifying a module adds or removes an attribute or a hook
        self._parts: list[Mapping[str, Any]] = []  # replacing a module or a weight keeps their number
        for module in self._modules:
            self._counted += vars(module), module._forward_hooks, module._forward_pre_hooks
            self._parts += filter(None, (module._modules, module._parameters, module._buffers))
        self._then = self._now()

    def is_outdated(self) -> bool:
        """Whether the model was modified since this object was created."""
        return self._now() != self._then

    def _now(self) -> tuple[int, ...]:
        parts = [id(part) for parts in self._parts for part in parts.values()]
        kinds = [type(module) for module in self._modules]
        classes = *map(id, kinds), *(id(kind.forward) for kind in kinds)
        return has_global_hooks(), *map(len, self._counted), *parts, *classes
