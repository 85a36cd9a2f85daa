"""A checkpoint in a format that other programs read."""

import json
from pathlib import Path

import torch
from safetensors.torch import save as to_safetensors

from headscope.checkpoint import part4_layout
from headscope.checkpoint.format import card
from headscope.checkpoint.reading import load, read
from headscope.errors import UserError
from headscope.model.transformer import TransformerLM


def export(path: str | Path, kind: str) -> bytes:
    """The content of the exported file.

    Args:
        path: the checkpoint.
        kind: `part4` is the dictionary that Part 4 saves and its own classes load; `safetensors` holds the weights,
            with the description of model, tokenizer and run in its metadata.

    Raises:
        UserError: see `load`; for `part4`, a model that its classes cannot hold.
    """
    loaded = load(path)
    if kind == "safetensors":
        described = card(loaded.model, loaded.tokenizer, **loaded.about)
        weights = {k: v.clone(memory_format=torch.contiguous_format) for k, v in loaded.model.state_dict().items()}
        return to_safetensors(weights, {"headscope": json.dumps(described)})
    if not isinstance(loaded.model, TransformerLM):
        raise UserError(f"{path} holds a {type(loaded.model).__name__}; --format part4 is for a TransformerLM")
    history = read(path).get("callbacks", {}).get("History", {})
    return part4_layout.write(loaded.model, loaded.tokenizer, history.get("train_loss"))
