"""Opens checkpoint files of every format without executing code in them, and translates the names of weights."""

import json
import pickle
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from headscope.annotations import check_value
from headscope.checkpoint.pickles import PICKLE, ZIP, in_archive, not_data, safe_load
from headscope.errors import UserError

#: The description of model, tokenizer and run (see `format.card`), and the weights under Headscope's names.
CardAndWeights = tuple[dict[str, Any], dict[str, Tensor]]
UNNAMED = "an unknown text"  #: the name of the data, if the file has none
SIZES = ("vocab_size", "d_model", "n_heads", "n_layers", "block_size")  #: our names for the model's sizes
MAX_ENTRIES = 1_000_000  #: values in all lists and mappings of a file; a small pickle can repeat one list many times


@dataclass(frozen=True)
class Names:
    """A program's names for the modules of a model, in the order of `OURS`."""

    outer: tuple[str, ...]  #: outside the blocks; the last name may be missing
    blocks: str  #: precedes the number of a block
    inner: tuple[str, ...]  #: inside a block


#: Headscope's names. Only a model with learned positions has `position.vectors`.
OURS = Names(
    ("embedding", "norm", "head", "position.vectors"),
    "blocks.",
    ("norm1", "attention.qkv", "attention.out", "norm2", "feedforward.up", "feedforward.down"),
)


class UnsupportedModel(UserError):
    """A model that Headscope cannot represent, or an invalid value. `load` puts the file's name before the message."""


def checked(value: Any, kind: Any, at: str) -> Any:
    """Checks a value in a file against an annotation and returns it; raises UnsupportedModel, which names `at`."""
    try:
        return check_value(value, kind, at)
    except UserError as e:
        raise UnsupportedModel(str(e)) from None


def limit_entries(saved: Any, at: str) -> None:
    """Raises UnsupportedModel if a value has more than `MAX_ENTRIES` values inside it, or contains itself."""
    waiting, seen = [iter([saved])], 0
    while waiting:
        for value in waiting.pop():
            seen += 1
            if isinstance(value, dict | list | tuple):
                waiting.append(iter(value.values() if isinstance(value, dict) else value))
            if seen > MAX_ENTRIES:
                raise UnsupportedModel(f"{at} has more than {MAX_ENTRIES:,} entries")


@dataclass(frozen=True)
class Source:
    """An existing file or folder to read."""

    path: Path
    text: Callable[[], str] | None = None  #: returns the training text, for formats that store no vocabulary

    @cached_property
    def content(self) -> dict[str, Any]:
        """The dictionary in a file of `torch.save` or safetensors, with tensors on the CPU.

        Empty for a folder and for any other file. Raises UserError if the file is damaged, or if loading it would
        execute code.
        """
        if self.path.is_dir():
            return {}
        try:
            with self.path.open("rb") as f:
                start = f.read(9)  # in safetensors: the header's length (8 bytes), then its JSON
            if start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < self.path.stat().st_size:
                return self._safetensors()
            if not start.startswith((ZIP, PICKLE)):
                return {}
            if start.startswith(ZIP):
                size, start = in_archive(self.path)
                if size > self.path.stat().st_size:
                    raise UserError(f"{self.path} is a compressed archive; save the checkpoint again with torch.save()")
            content = safe_load(self.path)
        except pickle.UnpicklingError as e:
            raise UserError(f"{self.path} {not_data(start, str(e))}") from e
        except UserError:
            raise
        except Exception as e:
            raise UserError(f"{self.path} cannot be read ({type(e).__name__}); it is damaged; use another file") from e
        return content if isinstance(content, dict) else {}

    def _safetensors(self) -> dict[str, Any]:
        """Returns the card and the weights of an export; empty if another program wrote the file."""
        with safe_open(self.path, framework="pt") as f:
            card = json.loads((f.metadata() or {}).get("headscope", "null"))
        return {"headscope": card, "state_dict": load_file(self.path)} if card else {}


def rename(weights: Mapping[str, Tensor], before: Names, after: Names) -> dict[str, Tensor]:
    """Returns weights under another program's names; modules without a name in `before` keep their names."""
    outer = dict(zip(before.outer, after.outer, strict=False))
    inner = dict(zip(before.inner, after.inner, strict=True))
    renamed = {}
    for name, weight in weights.items():
        module, _, kind = name.rpartition(".")
        block = re.fullmatch(rf"{re.escape(before.blocks)}(\d+)\.(.+)", module)
        new = f"{after.blocks}{block[1]}.{inner.get(block[2], block[2])}" if block else outer.get(module, module)
        renamed[f"{new}.{kind}"] = weight
    return renamed
