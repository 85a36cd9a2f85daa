"""Two faster copies of a model: an exact one, and an approximate one that guesses the tokens that the model will draw.

Shapes: K inputs, M outputs of a linear layer.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

if TYPE_CHECKING:
    from headscope.model.transformer import LanguageModel

M = TypeVar("M", bound=nn.Module)
LARGE = 2_000_000  #: smallest number of weights for which a draft saves time
MULTIPLE = 16  #: the 8-bit kernel reads this many inputs of a layer at once, even past the end of a row


def fast_copy(model: M, replace: Mapping[type[nn.Module], Callable[[Any], nn.Module]] | None = None) -> M:
    """Returns a faster copy of a model that runs the same `forward` methods on the same weights.

    `nn.Module` checks for hooks in every call, and looks every weight and submodule up in three dictionaries. For a
    small model that reads one token, this takes half of the run time. Calling a module of the copy calls `forward`
    directly, and weights and submodules are plain attributes.

    The copy of a model in eval mode has no dropout layers and stays in eval mode. Compiled modules run uncompiled. A
    modified model (`is_modified`) is returned unchanged. `replace` maps the class of a submodule to a function that
    returns its replacement.
    """
    if is_modified(model):
        return model
    return cast(M, _copy(model, replace or {}))


def is_modified(model: nn.Module) -> bool:
    """Whether calling a part of the model does more than run the `forward` of its class.

    This is so if there are hooks, of a part or of all modules, or if a part has a `forward` of its own
    (`model.head.forward = patched`) or a class with its own `__call__`.
    """
    return torch_module._has_any_global_hook() or any(  # type: ignore[no-untyped-call]
        module._forward_hooks
        or module._forward_pre_hooks
        or "forward" in vars(module)
        or type(module).__call__ is not nn.Module.__call__
        for module in model.modules()
    )


def _copy(module: Any, replace: Mapping[type[nn.Module], Callable[[Any], nn.Module]]) -> Any:
    if type(module) in replace:
        module = replace[type(module)](module)
    if isinstance(module, nn.Dropout) and not module.training:
        module = nn.Identity()
    copy = object.__new__(_with_direct_calls(module.__class__, module.__class__.forward))
    parts = {name: part and _copy(part, replace) for name, part in module._modules.items()}
    vars(copy).update(vars(module), _modules=parts, **module._parameters, **module._buffers, **parts)
    return copy


@cache
def _with_direct_calls(kind: type[nn.Module], forward: Callable[..., Any]) -> type[nn.Module]:
    """Returns a subclass of `kind` whose `__call__` is `forward`, the current `forward` of `kind`."""
    return type(kind.__name__, (kind,), {"__call__": forward})


class EightBitLinear(nn.Module):
    """A linear layer with 8 bits per weight and one scale per output, which reads a quarter of the bytes of fp32."""

    def __init__(self, exact: nn.Linear) -> None:
        super().__init__()
        weight = exact.weight.detach()  # (M, K)
        scale = weight.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / 127  # (M,)
        self.weight = (weight / scale[:, None]).round().to(torch.int8)
        self.scale = scale.bfloat16()
        self.bias = exact.bias

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., K) to (..., M)."""
        rows = x.reshape(-1, x.shape[-1]).bfloat16()
        y = torch._weight_int8pack_mm(rows, self.weight, self.scale).view(*x.shape[:-1], -1).to(x.dtype)
        return y if self.bias is None else y + self.bias


def draft(model: "LanguageModel") -> "LanguageModel | None":
    """Returns a faster model that nearly always draws the same token as `model`; None if this would not save time.

    A draft saves time for an unmodified model with a cache, in fp32 on a CPU, if reading the weights takes most of the
    time. Only the linear layers differ: their weights have 8 bits, unless the kernel cannot compute their shape.
    """
    weights = list(model.parameters())
    fits = all(p.device.type == "cpu" and p.dtype == torch.float32 for p in weights) and not is_modified(model)
    if not fits or not hasattr(model, "new_cache") or sum(p.numel() for p in weights) < LARGE:
        return None
    return fast_copy(model, {nn.Linear: lambda layer: layer if layer.in_features % MULTIPLE else EightBitLinear(layer)})
