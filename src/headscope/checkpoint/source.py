"""Opens checkpoint files of every format without executing code in them, and translates the names of modules."""

import json
import pickle
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from headscope.errors import UserError

#: The description of model, tokenizer and run (see `format.card`), and the weights under our names.
CardAndWeights = tuple[dict[str, Any], dict[str, Tensor]]
SIZES = ("vocab_size", "d_model", "n_heads", "n_layers", "block_size")  #: our names for the model's sizes
OUTER = (
    "embedding",
    "norm",
    "head",
    "position.vectors",
)  #: our modules outside the blocks; only models with `Learned` positions have the last
INNER = ("norm1", "attention.qkv", "attention.out", "norm2", "feedforward.up", "feedforward.down")  #: those in a block


class UnsupportedModel(UserError):
    """A model from another program that Headscope cannot represent. `load` puts the file's name before the message."""


@dataclass(frozen=True)
class Source:
    """An existing file or folder to read."""

    path: Path
    text: Callable[[], str] | None = None  #: returns the training text, for formats that store no vocabulary

    @cached_property
    def content(self) -> dict[str, Any]:
        """The dictionary that `torch.save` or safetensors wrote, with tensors on the CPU; empty for anything else.

        Raises UserError if the file is damaged, or if loading it would execute code.
        """
        if self.path.is_dir():
            return {}
        try:
            with self.path.open("rb") as f:
                start = f.read(9)  # in safetensors: the header's length (8 bytes), then its JSON
            if start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < self.path.stat().st_size:
                with safe_open(self.path, framework="pt") as f:
                    card = json.loads((f.metadata() or {}).get("headscope", "null"))
                return {"headscope": card, "state_dict": load_file(self.path)}
            with warnings.catch_warnings(action="ignore"):  # torch warns about pickles that it then refuses
                content = torch.load(self.path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as e:
            reason = "holds code, not only data," if "GLOBAL" in str(e) or "reduce" in str(e) else "is damaged"
            raise UserError(f"{self.path} {reason} and was not loaded; use a checkpoint that Headscope wrote") from e
        except Exception as e:
            raise UserError(
                f"{self.path} cannot be read ({type(e).__name__}); it is damaged or not a checkpoint; use another file"
            ) from e
        return content if isinstance(content, dict) else {}


def module_names(outer: Sequence[str], blocks: str, inner: Sequence[str], n_layers: int) -> dict[str, str]:
    """Returns a dictionary from our names of modules to those of another program.

    `outer` and `inner` are that program's names for OUTER and INNER, in the same order; `outer` may lack the last one.
    `blocks` is the part of a module's name that precedes the number of its block.
    """
    names = dict(zip(OUTER, outer, strict=False))
    for block in range(n_layers):
        names |= {f"blocks.{block}.{ours}": f"{blocks}{block}.{name}" for ours, name in zip(INNER, inner, strict=True)}
    return names


def rename(weights: Mapping[str, Tensor], modules: Mapping[str, str]) -> dict[str, Tensor]:
    """Returns weights with their modules renamed; modules that are not in `modules` keep their names."""
    renamed = {}
    for name, weight in weights.items():
        module, _, kind = name.rpartition(".")
        renamed[f"{modules.get(module, module)}.{kind}"] = weight
    return renamed
