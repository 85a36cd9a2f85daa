"""Checks the weights in a file before a model is built: their kind, their memory, their names and their shapes."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from headscope.checkpoint.source import UnsupportedModel
from headscope.model.transformer import LanguageModel

FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
MAX_POSITIONS = 1 << 17  #: largest allowed block_size
#: Maximum number of numbers in tables of positions, and in the windows of a text, unless the file has more weights.
MAX_TABLES, MAX_WINDOWS = 1 << 25, 1 << 28
SPARE = 1 << 20  #: weights that share memory may need twice its bytes, and this many more
ADVICE = "save it again with torch.save(), with every weight as an ordinary tensor"


def plain_weights(found: Any) -> dict[str, Tensor]:
    """Returns the weights in a file, by name, if they are floating-point numbers and the file holds all of them.

    A tensor can be larger than its memory: one stored number with strides of 0 can represent any number of equal
    weights. Two weights may share memory, as a tied embedding and head do. Raises UnsupportedModel otherwise.
    """
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise UnsupportedModel("the weights are not a dictionary from names to tensors")
    needed, stored = 0, {}
    for name, weight in found.items():
        if not isinstance(weight, Tensor):
            raise UnsupportedModel(f"the weight {name} is not a tensor")
        is_kind = {"meta": weight.is_meta, "quantized": weight.is_quantized, "nested": weight.is_nested}
        is_kind["sparse"] = weight.layout is not torch.strided
        if kind := next((kind for kind, applies in is_kind.items() if applies), None):
            raise UnsupportedModel(f"the weight {name} is a {kind} tensor; {ADVICE}")
        if weight.dtype not in FLOATS:
            kind = str(weight.dtype).removeprefix("torch.")
            raise UnsupportedModel(f"the weight {name} has the type {kind}; save it as float32, float16 or bfloat16")
        size, memory = weight.numel() * weight.element_size(), weight.untyped_storage()
        if size > memory.nbytes():
            raise UnsupportedModel(f"the weight {name} repeats {memory.nbytes():,} stored bytes to {size:,}; {ADVICE}")
        needed += size
        stored[memory.data_ptr()] = memory.nbytes()
    if needed > 2 * sum(stored.values()) + SPARE:
        raise UnsupportedModel(f"the weights share memory: {sum(stored.values()):,} bytes for {needed:,}; {ADVICE}")
    return found


class WithoutParameters(TorchFunctionMode):
    """Creates parameters on the meta device, with a shape but no values; computes position tables as usual.

    Building the whole model on `torch.device("meta")` would be slower, because `torch.arange` and random numbers on
    that device import PyTorch's compiler, which takes 0.9 s.
    """

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if getattr(func, "__module__", None) == "torch.nn.init":
            return options["tensor"]
        if func in (torch.empty, torch.zeros, torch.ones):
            options["device"] = "meta"
        return func(*args, **options)


def check_shapes(build: partial[LanguageModel], weights: Mapping[str, Tensor]) -> None:
    """Raises ValueError if a file's weights do not have the shapes of the model that `build` would create.

    Raises UnsupportedModel if the model's tables of positions would be much larger than its weights. Does not allocate
    memory for the model.
    """
    sizes, numbers = build.keywords, sum(w.numel() for w in weights.values())
    too_many_layers = sizes.get("n_layers", 0) > len(weights)
    too_wide = sizes.get("d_model", 0) * sizes.get("n_layers", 1) > numbers  # each layer has a norm of this width
    if too_many_layers or too_wide or sizes["block_size"] > MAX_POSITIONS:
        raise ValueError("sizes")
    windows = sizes.get("context", 0) * sizes.get("d_model", 0) * sizes["block_size"]
    if windows > max(MAX_WINDOWS, numbers):
        raise UnsupportedModel(f"context × d_model × block_size is {windows:,}, but at most {MAX_WINDOWS:,} is allowed")
    tables = _tables(build, weights)
    if tables > max(MAX_TABLES, numbers):
        raise UnsupportedModel(
            f"the tables of positions would have {tables:,} numbers, but only {max(MAX_TABLES, numbers):,} are allowed"
            f" for {numbers:,} weights: block_size={sizes['block_size']} is too large for this width"
        )


def _tables(build: Callable[..., LanguageModel], weights: Mapping[str, Tensor]) -> int:
    """Returns the number of numbers in the tables of positions; raises ValueError if the shapes of weights differ.

    Builds the model for a single position, which takes no memory for tables. A dimension of size 1 then means that the
    real dimension has size 1 or `block_size`.
    """
    block_size: int = build.keywords["block_size"]  # type: ignore[attr-defined]
    with suppress(Exception), WithoutParameters():  # a plugin's class may not support this mode or this block_size
        short = partial(build, block_size=1)()
        if _shapes(short.state_dict(), block_size) == _shapes(weights, block_size):
            return block_size * sum(table.numel() for table in short.buffers() if 1 in table.shape)
    with torch.device("meta"):
        model = build()
    if _shapes(model.state_dict()) != _shapes(weights):
        raise ValueError("shapes")
    return sum(table.numel() for table in model.buffers())


def _shapes(weights: Mapping[str, Tensor], size_for_1: int = 1) -> dict[str, list[int]]:
    """Returns the shape of each weight, with `size_for_1` in place of every dimension of size 1."""
    return {name: [size_for_1 if n == 1 else n for n in weight.shape] for name, weight in weights.items()}
