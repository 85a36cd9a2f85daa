"""The dictionary that Part 4 saves, and its names for our weights.

Shapes: T positions (block_size), C = d_model.
"""

import io
from typing import Any

import torch
from torch import Tensor

from headscope.data.tokenizers import CharTokenizer, Tokenizer, WordTokenizer
from headscope.errors import UserError
from headscope.model.position import Sinusoidal
from headscope.model.transformer import TransformerLM

#: Our names to theirs, outside the blocks and inside each block.
OUTSIDE = {"embedding": "token_emb", "norm": "ln_final", "head": "output"}
INSIDE = {
    "attention.qkv": "attention.W_qkv",
    "attention.out": "attention.W_out",
    "feedforward.up": "ffn.0",
    "feedforward.down": "ffn.2",
    "norm1": "ln1",
    "norm2": "ln2",
}
TABLE = "pos_enc.pe"  #: their table of positions, a buffer (1, T, C)
KIND = "tokenizer"  #: a key that Part 4 ignores: the class of ours. Its absence means a file of Part 4 itself.


def rename(name: str, back: bool = False) -> str:
    """Returns the name of a weight in Part 4's layout; with `back`, in ours."""
    module, _, kind = name.rpartition(".")
    outside, inside = OUTSIDE, INSIDE
    if back:
        outside, inside = ({v: k for k, v in names.items()} for names in (OUTSIDE, INSIDE))
    if module.startswith("blocks."):
        _, layer, rest = module.split(".", 2)
        return f"blocks.{layer}.{inside[rest]}.{kind}"
    return f"{outside[module]}.{kind}"


def write(model: TransformerLM, tokenizer: Tokenizer, final_loss: float | None) -> bytes:
    """Returns the file that Part 4 would have saved for this model.

    Raises:
        UserError: the model has positions or tokens that Part 4 does not have.
    """
    if type(model.position) is not Sinusoidal or model.position.base != 10000.0:
        raise UserError(
            f"Part 4 has sinusoidal positions alone and this model has {type(model.position).__name__};"
            " use --format safetensors, or train with position=sinusoidal"
        )
    if not isinstance(tokenizer, CharTokenizer | WordTokenizer):
        raise UserError("Part 4 has characters or words as tokens, no byte pairs; use --format safetensors")
    weights = {rename(k): v for k, v in model.state_dict().items()}
    sizes = ("vocab_size", "d_model", "n_heads", "n_layers", "block_size")
    saved = {
        "model_state_dict": weights | {TABLE: model.position.sines[None].clone()},
        "model_config": {name: getattr(model, name) for name in sizes},
        "stoi": {token: i for i, token in enumerate(tokenizer.vocab)},
        "itos": dict(enumerate(tokenizer.vocab)),
        "final_loss": final_loss,
        KIND: type(tokenizer).__name__,
    }
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    return buffer.getvalue()


def read(saved: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Returns a card and weights from the dictionary that Part 4 saves."""
    vocab = [saved["itos"][i] for i in range(len(saved["itos"]))]
    guess = "CharTokenizer" if all(len(token) == 1 for token in vocab) else "WordTokenizer"
    position = {"class": "Sinusoidal", "base": 10000.0}
    described = {
        "model": {"class": "TransformerLM", "dropout": 0.0, "position": position} | saved["model_config"],
        "tokenizer": {"class": saved.get(KIND, guess), "vocab": vocab},
        "about": {"name": "part4", "data": {"name": "a text that the file does not name"}},
    }
    return described, {rename(k, back=True): v for k, v in saved["model_state_dict"].items() if k != TABLE}
