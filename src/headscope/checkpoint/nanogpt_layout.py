"""The dictionary that nanoGPT's `train.py` saves as `ckpt.pt`. Its names are GPT-2's.

It holds no vocabulary. That of a model of characters is in a `meta.pkl`, which could run code and is never opened: it
is the sorted characters of the text that the model was trained on (`data/shakespeare_char/prepare.py`), so the text
gives it again.

Shapes: T positions (block_size), C = d_model, V vocabulary.
"""

import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headscope.checkpoint.hf_families import GPT2, Foreign
from headscope.checkpoint.hf_layout import ours_of, without_biases
from headscope.data.decoding import read_text

LAYOUT = replace(GPT2, by_columns=False)  #: linear layers of PyTorch, (out, in)
COMPILED = "_orig_mod."  #: before each name if torch.compile made kernels of the model
#: The 65 characters of tiny Shakespeare, by the name that nanoGPT gives that text.
KNOWN = {"shakespeare_char": "\n !$&',-.3:;?" + string.ascii_letters}
PAIRS = 50257  #: tokens of GPT-2; nanoGPT rounds up to 50304
FILE = "ckpt.pt"
TEXT = "input.txt"  #: the text that a model was trained on, beside the checkpoint or where nanoGPT keeps it

SIZES = {"vocab_size": "vocab_size", "d_model": "n_embd", "n_heads": "n_head", "n_layers": "n_layer"}


def read(
    saved: dict[str, Any], folder: Path, text: Callable[[], str] | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A card and weights of ours.

    Args:
        saved: what nanoGPT saved.
        folder: of the file; the text that the model was trained on is looked for there.
        text: gives it where none is found.

    Raises:
        Foreign: the vocabulary is not known, or a bias of attention cannot be folded.
        UserError: the text cannot be read.
    """
    given = saved["model_args"]
    sizes = {ours: given[theirs] for ours, theirs in (SIZES | {"block_size": "block_size"}).items()}
    config = saved.get("config")
    config = config if isinstance(config, dict) else {}
    dataset = str(config.get("dataset", ""))
    weights = {name.removeprefix(COMPILED): weight for name, weight in saved["model"].items()}
    found = ours_of(LAYOUT, weights, sizes["n_heads"])
    for name in [name for name in found if name.endswith(".weight")]:  # with bias=False, norms have none either
        module, rows = name.removesuffix(".weight"), len(found[name])
        if module.rpartition(".")[2] in ("norm1", "norm2", "norm", "up", "down"):
            found.setdefault(f"{module}.bias", torch.zeros(rows))
    without_biases(found)
    described = {
        "model": {
            "class": "TransformerLM",
            **sizes,
            "dropout": float(given.get("dropout", 0.0)),
            "position": {"class": "Learned"},
        },
        "tokenizer": {"class": "CharTokenizer", "vocab": _vocabulary(sizes["vocab_size"], dataset, folder, text)},
        "about": {
            "name": "nanoGPT",
            "data": {"name": dataset or "a text that the file does not name"},
            "step": int(saved.get("iter_num", 0)),
        },
    }
    return described, found


def _vocabulary(size: int, dataset: str, folder: Path, text: Callable[[], str] | None) -> list[str]:
    """The sorted characters of the text that the model was trained on.

    Raises:
        Foreign: no text is given or found whose characters are as many as the model's tokens.
    """
    if size >= PAIRS:
        raise Foreign(
            f"it has {size:,} tokens, so GPT-2's byte pairs, which join what Headscope's never do (several newlines,"
            " say); nanoGPT's models of characters can be read"
        )
    tried = []
    for source, characters in _candidates(dataset, folder, text):
        vocab = sorted(set(characters()))
        if len(vocab) == size:
            return vocab
        tried.append(f"{source} has {len(vocab):,} different characters")
    raise Foreign(
        f"it has {size:,} tokens and does not say which{''.join(f'; {other}' for other in tried)}; put the text that it"
        f" was trained on beside it, as {TEXT}"
    )


def _candidates(
    dataset: str, folder: Path, text: Callable[[], str] | None
) -> Iterator[tuple[str, Callable[[], Iterable[str]]]]:
    """Yields where the characters may be found, the surest first."""
    places = [folder / TEXT, folder.resolve().parent / "data" / dataset / TEXT] if dataset else [folder / TEXT]
    for place in places:
        if place.is_file():
            yield str(place), partial(read_text, place)
    if dataset in KNOWN:
        yield dataset, KNOWN[dataset].__iter__
    if text is not None:
        yield "the data", text
