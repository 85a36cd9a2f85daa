"""Opens files that a model is read from, without executing code that they may contain."""

import json
import pickle
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from headscope.errors import UserError

#: A description of model, tokenizer and run (see `format.card`), and the weights by our names.
CardAndWeights = tuple[dict[str, Any], dict[str, Tensor]]


class UnsupportedModel(UserError):
    """A model of another program that Headscope cannot represent. `load` puts the file's name before the message."""


@dataclass(frozen=True)
class Source:
    """A file or folder to read.

    Args:
        path: the file or folder, which exists.
        text: returns the text that the model was trained on, for formats that store no vocabulary.
    """

    path: Path
    text: Callable[[], str] | None = None

    @cached_property
    def content(self) -> dict[str, Any]:
        """The dictionary in a file of `torch.save` or safetensors, tensors on the CPU; empty for anything else.

        Raises:
            UserError: the file is damaged, or loading it would execute code.
        """
        if self.path.is_dir():
            return {}
        try:
            if self._is_safetensors():
                with safe_open(self.path, framework="pt") as f:
                    card = json.loads((f.metadata() or {}).get("headscope", "null"))
                return {"headscope": card, "state_dict": load_file(self.path)}
            with warnings.catch_warnings(action="ignore"):  # torch warns about pickles that it then refuses
                content = torch.load(self.path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as e:
            reason = "holds code, not only data," if "GLOBAL" in str(e) or "reduce" in str(e) else "is damaged"
            raise UserError(f"{self.path} {reason} and was not loaded; give a checkpoint that Headscope wrote") from e
        except Exception as e:
            raise UserError(
                f"{self.path} cannot be read ({type(e).__name__}); it is damaged or not a checkpoint; give another file"
            ) from e
        return content if isinstance(content, dict) else {}

    def _is_safetensors(self) -> bool:
        """Checks the first nine bytes: the length of the header, and the brace that begins the header's JSON."""
        with self.path.open("rb") as f:
            start = f.read(9)
        return start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < self.path.stat().st_size
