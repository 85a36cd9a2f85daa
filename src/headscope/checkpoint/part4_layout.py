"""Reads and writes the dictionary that the code of Part 4 (`docs/PART4.md`) saves.

Shapes: T positions (block_size), C = d_model.
"""

import io

import torch

from headscope.checkpoint.source import OURS, SIZES, UNNAMED, CardAndWeights, Names, Source, rename
from headscope.checkpoint.weights import plain_weights
from headscope.data.tokenizers import CharTokenizer, Tokenizer, WordTokenizer
from headscope.errors import UserError
from headscope.model.position import Sinusoidal
from headscope.model.transformer import TransformerLM

PART4 = Names(
    ("token_emb", "ln_final", "output"),
    "blocks.",
    ("ln1", "attention.W_qkv", "attention.W_out", "ln2", "ffn.0", "ffn.2"),
)
TABLE = "pos_enc.pe"  #: Part 4's table of positions, a buffer (1, T, C)
KIND = "tokenizer"  #: our key for the tokenizer's class, which Part 4 ignores; files that Part 4 wrote do not have it


def write(model: TransformerLM, tokenizer: Tokenizer, final_loss: float | None) -> bytes:
    """Returns the file that Part 4 would have saved; raises UserError if Part 4 lacks such positions or such tokens."""
    if type(model.position) is not Sinusoidal or model.position.base != 10000.0:
        raise UserError(
            f"Part 4 has only sinusoidal positions with base=10000, but this model has {type(model.position).__name__};"
            " use --format safetensors, or train with position=sinusoidal"
        )
    if not isinstance(tokenizer, CharTokenizer | WordTokenizer):
        raise UserError("Part 4 has characters or words as tokens, not byte pairs; use --format safetensors")
    weights = rename(model.state_dict(), OURS, PART4)
    saved = {
        "model_state_dict": weights | {TABLE: model.position.sines[None].clone()},
        "model_config": {name: getattr(model, name) for name in SIZES},
        "stoi": {token: i for i, token in enumerate(tokenizer.vocab)},
        "itos": dict(enumerate(tokenizer.vocab)),
        "final_loss": final_loss,
        KIND: type(tokenizer).__name__,
    }
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    return buffer.getvalue()


def recognises(source: Source) -> bool:
    """Whether the file is a dictionary with a key that Part 4 saves."""
    return "model_state_dict" in source.content


def read(source: Source) -> CardAndWeights:
    """Returns the card and the weights; see `reading.FORMATS`."""
    saved = source.content
    vocab = [saved["itos"][i] for i in range(len(saved["itos"]))]
    guess = "CharTokenizer" if all(len(token) == 1 for token in vocab) else "WordTokenizer"
    position = {"class": "Sinusoidal", "base": 10000.0}
    card = {
        "model": {"class": "TransformerLM", "dropout": 0.0, "position": position} | saved["model_config"],
        "tokenizer": {"class": saved.get(KIND, guess), "vocab": vocab},
        "about": {"name": "part4", "data": {"name": UNNAMED}},
    }
    weights = {name: weight for name, weight in plain_weights(saved["model_state_dict"]).items() if name != TABLE}
    return card, rename(weights, PART4, OURS)
