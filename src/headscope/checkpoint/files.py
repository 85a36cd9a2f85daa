"""Reading a model from a file of any kind we know, and writing the two kinds that others read.

A file is data: tensors, numbers, strings, lists and dicts. Nothing in it is run.
"""

import json
import pickle
import struct
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from headscope.checkpoint import part4_layout
from headscope.checkpoint.format import card, constructor
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.model.transformer import LanguageModel, TransformerLM

MOST_POSITIONS = 1 << 17  #: of a file's model: tables of positions are made from a number alone
PREFIX = "model."  #: of the weights' names inside a LightningModule


class Loaded(NamedTuple):
    """What a checkpoint holds. Unpacks to `model, tokenizer, about`."""

    model: LanguageModel
    tokenizer: Tokenizer
    about: dict[str, Any]


def load(path: str | Path) -> Loaded:
    """The model, in eval mode on the CPU, its tokenizer, and what the run was.

    Reads a run's checkpoint, its export to safetensors, and the dictionary of Part 4.

    Raises:
        UserError: no such file, a damaged one, one of another kind, or one that would run code.
    """
    saved = read(path)
    try:
        if "model_state_dict" in saved:
            described, weights = part4_layout.read(saved)
        elif isinstance(saved.get("headscope"), dict):
            described = saved["headscope"]
            weights = {k.removeprefix(PREFIX): v for k, v in saved["state_dict"].items()}
        else:
            raise UserError(f"{path} is not a Headscope checkpoint; give a *.ckpt of a run's folder")
        tokenizer = constructor(described["tokenizer"], Tokenizer)()
        build = constructor(described["model"], LanguageModel)
        _check(build, tokenizer, weights)
        model = build()
        model.load_state_dict(weights)
        return Loaded(model.eval(), tokenizer, described["about"])
    except UserError:
        raise
    except Exception as e:
        raise UserError(f"{path} is damaged or of another version ({type(e).__name__}); give another checkpoint") from e


def _check(build: Any, tokenizer: Tokenizer, weights: dict[str, Tensor]) -> None:
    """Compares what a card describes with the weights beside it, before anything of that size is made.

    Raises:
        ValueError: they do not belong together.
    """
    sizes = build.keywords
    if not (sizes.get("n_layers", 0) <= len(weights) and sizes["block_size"] <= MOST_POSITIONS):
        raise ValueError("sizes")
    if sizes["vocab_size"] != len(tokenizer):
        raise ValueError("vocabulary")
    with torch.device("meta"):
        wanted = {k: v.shape for k, v in build().state_dict().items()}
    if wanted != {k: v.shape for k, v in weights.items()}:
        raise ValueError("shapes")


def read(path: str | Path) -> dict[str, Any]:
    """The content of a file, tensors on the CPU.

    Raises:
        UserError: see `load`.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file in it, such as a run's checkpoints/best.ckpt")
    if not path.is_file():
        raise UserError(f"there is no checkpoint at {path}; train one, or name another")
    try:
        if _is_safetensors(path):
            return _read_safetensors(path)
        with warnings.catch_warnings(action="ignore"):  # of a pickle that is no checkpoint: the error says it
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        reason = "holds code, not only data," if "GLOBAL" in str(e) or "reduce" in str(e) else "is damaged"
        raise UserError(f"{path} {reason} and was not loaded; give a checkpoint that Headscope wrote") from e
    except Exception as e:
        raise UserError(f"{path} cannot be read ({type(e).__name__}); it is damaged or no checkpoint") from e
    if not isinstance(saved, dict):
        raise UserError(f"{path} is not a Headscope checkpoint; give a *.ckpt of a run's folder")
    return saved


def export(path: str | Path, kind: str) -> bytes:
    """A checkpoint as a file of another kind.

    Args:
        path: the checkpoint.
        kind: `part4`, the dictionary that Part 4 saves, which its own classes accept; `safetensors`, weights with the
            card in the metadata.

    Raises:
        UserError: see `load`; for `part4`, a model that its classes cannot hold.
    """
    loaded = load(path)
    if kind == "safetensors":
        described = card(loaded.model, loaded.tokenizer, **loaded.about)
        weights = {k: v.contiguous() for k, v in loaded.model.state_dict().items()}
        return to_safetensors(weights, {"headscope": json.dumps(described)})
    if not isinstance(loaded.model, TransformerLM):
        raise UserError(f"{path} holds a {type(loaded.model).__name__}; --format part4 is for a TransformerLM")
    history = read(path).get("callbacks", {}).get("History", {})
    return part4_layout.write(loaded.model, loaded.tokenizer, history.get("train_loss"))


def _is_safetensors(path: Path) -> bool:
    """Eight bytes of a header's length, then the header, which is JSON."""
    with path.open("rb") as f:
        start = f.read(9)
    return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Any]:
    weights: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as f:
        described = (f.metadata() or {}).get("headscope")
        for name in f.keys():  # noqa: SIM118, it is no dict
            weights[name] = f.get_tensor(name)
    if described is None:
        raise SafetensorError("no card")
    return {"headscope": json.loads(described), "state_dict": weights}
