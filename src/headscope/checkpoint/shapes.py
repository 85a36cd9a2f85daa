"""Whether a description of a model and the weights beside it belong together, found without memory for the model."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from headscope.model.transformer import LanguageModel

MAX_POSITIONS = 1 << 17  #: a file's block_size alone decides how large a table of positions becomes


class WithoutParameters(TorchFunctionMode):
    """Parameters get a shape and no numbers; tables of positions are computed as usual.

    On `torch.device("meta")` nothing is computed, but a random number or a range there imports PyTorch's compiler,
    0.9 s in which `generate.py` could have written.
    """

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if getattr(func, "__module__", None) == "torch.nn.init":
            return given["tensor"]
        if func in (torch.empty, torch.zeros, torch.ones):
            given["device"] = "meta"
        return func(*args, **given)


def check(build: "partial[LanguageModel]", weights: Mapping[str, Tensor]) -> None:
    """Compares a description with weights.

    Args:
        build: a model's class with the arguments that a file gives.
        weights: those of the file, by their names in a state dict.

    Raises:
        ValueError: they do not belong together.
    """
    sizes, numbers = build.keywords, sum(w.numel() for w in weights.values())
    if (
        sizes.get("n_layers", 0) > len(weights)
        or sizes["block_size"] > MAX_POSITIONS
        or sizes.get("d_model", 0) > numbers
    ):
        raise ValueError("sizes")
    with suppress(Exception), WithoutParameters():  # a plugin's class may not build so
        short = partial(build, block_size=1)().state_dict()  # short tables; 1 stands for block_size
        if _shapes(short, sizes["block_size"]) == _shapes(weights, sizes["block_size"]):
            return
    with torch.device("meta"):
        if _shapes(build().state_dict()) != _shapes(weights):
            raise ValueError("shapes")


def _shapes(weights: Mapping[str, Tensor], one: int = 1) -> dict[str, list[int]]:
    """By name, with a number in place of each 1."""
    return {name: [one if n == 1 else n for n in weight.shape] for name, weight in weights.items()}
