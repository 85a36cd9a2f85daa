"""Checks that the description of a model fits the weights of its file, without allocating memory for the model."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from headscope.model.transformer import LanguageModel

MAX_POSITIONS = 1 << 17  #: limit of block_size, which alone decides how large a table of positions becomes


class WithoutParameters(TorchFunctionMode):
    """Creates parameters with a shape and no numbers; computes tables of positions as usual.

    The whole model on `torch.device("meta")` would be slower: a random number or a range there imports PyTorch's
    compiler, which takes 0.9 s.
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


def check(build: "partial[LanguageModel]", weights: Mapping[str, Tensor]) -> None:
    """Compares a description with weights.

    Args:
        build: a model's class with the arguments that a file gives.
        weights: the file's weights, by their names in the model's state dict.

    Raises:
        ValueError: they do not fit together.
    """
    sizes, numbers = build.keywords, sum(w.numel() for w in weights.values())
    too_many_layers = sizes.get("n_layers", 0) > len(weights)
    if too_many_layers or sizes["block_size"] > MAX_POSITIONS or sizes.get("d_model", 0) > numbers:
        raise ValueError("sizes")
    with suppress(Exception), WithoutParameters():  # a plugin's class may not support this mode or this block_size
        short = partial(build, block_size=1)().state_dict()
        if _shapes(short, sizes["block_size"]) == _shapes(weights, sizes["block_size"]):
            return
    with torch.device("meta"):
        if _shapes(build().state_dict()) != _shapes(weights):
            raise ValueError("shapes")


def _shapes(weights: Mapping[str, Tensor], one: int = 1) -> dict[str, list[int]]:
    """Returns the shape of each weight by name, with `one` in place of every dimension of size 1."""
    return {name: [one if n == 1 else n for n in weight.shape] for name, weight in weights.items()}
