"""Reads the `ckpt.pt` that nanoGPT's `train.py` saves. The names of its weights are GPT-2's.

The file holds no vocabulary. nanoGPT saves the vocabulary of a character model in `meta.pkl`, which is never opened,
because a pickle can execute code. That vocabulary consists of the sorted characters of the training text
(`data/shakespeare_char/prepare.py`), so Headscope computes the vocabulary from the text.

Shapes: T positions (block_size), C = d_model, V vocabulary.
"""

import string
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from headscope.checkpoint.hf_families import GPT2, sizes_of
from headscope.checkpoint.hf_layout import fold_attention_biases, rename_weights
from headscope.checkpoint.source import UNNAMED, CardAndWeights, Source, UnsupportedModel
from headscope.data.decoding import read_text

#: GPT-2 with PyTorch's linear layers, whose matrices are (out, in).
NANOGPT = replace(GPT2, transposed=False, sizes=("vocab_size", "n_embd", "n_head", "n_layer", "block_size"))
COMPILED = "_orig_mod."  #: prefix of each name if torch.compile compiled the model
#: The 65 characters of tiny Shakespeare, under nanoGPT's name for that text.
KNOWN = {"shakespeare_char": "\n !$&',-.3:;?" + string.ascii_letters}
GPT2_VOCABULARY = 50257  #: number of GPT-2's tokens; nanoGPT rounds it up to 50304
FILE = "ckpt.pt"
TEXT = "input.txt"  #: the training text, in the folder of the checkpoint or in nanoGPT's data folder


def recognises(source: Source) -> bool:
    """Whether the file is a dictionary with the keys that nanoGPT saves."""
    return {"model", "model_args"} <= source.content.keys()


def read(source: Source) -> CardAndWeights:
    """Returns the card and the weights; see `reading.FORMATS`."""
    saved = source.content
    options, config = saved["model_args"], saved.get("config")
    sizes = sizes_of(NANOGPT, options)
    dataset = config.get("dataset") if isinstance(config, dict) else None
    dataset = dataset if isinstance(dataset, str) else ""
    weights = {name.removeprefix(COMPILED): weight for name, weight in saved["model"].items()}
    ours = rename_weights(NANOGPT, weights, sizes["n_heads"])
    for name in [name for name in ours if name.endswith(".weight")]:  # nanoGPT's bias=False omits these biases
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in ("norm1", "norm2", "norm", "up", "down"):
            ours.setdefault(f"{module}.bias", torch.zeros(len(ours[name])))
    fold_attention_biases(ours)
    dropout = options.get("dropout", 0.0)
    card = {
        "model": {"class": "TransformerLM", **sizes, "dropout": dropout, "position": {"class": "Learned"}},
        "tokenizer": {"class": "CharTokenizer", "vocab": _vocabulary(sizes["vocab_size"], dataset, source)},
        "about": {"name": "nanoGPT", "data": {"name": dataset or UNNAMED}, "step": saved.get("iter_num", 0)},
    }
    return card, ours


def _vocabulary(size: int, dataset: str, source: Source) -> list[str]:
    """Returns the sorted characters of the first text that has as many different characters as the model has tokens."""
    if size >= GPT2_VOCABULARY:
        raise UnsupportedModel(
            f"the model has {size:,} tokens, which are GPT-2's byte pairs; unlike Headscope's, they cross line ends;"
            " only nanoGPT's character models can be read"
        )
    folder = source.path.parent
    files = [folder / TEXT, *([folder.resolve().parent / "data" / dataset / TEXT] if dataset else [])]
    texts: dict[str, Callable[[], str]] = {str(file): partial(read_text, file) for file in files if file.is_file()}
    if dataset in KNOWN:
        texts[dataset] = lambda: KNOWN[dataset]
    if source.text:
        texts["the data"] = source.text
    rejected = []
    for name, text in texts.items():
        vocab = sorted(set(text()))
        if len(vocab) == size:
            return vocab
        rejected.append(f"; {name} has {len(vocab):,} different characters")
    raise UnsupportedModel(
        f"the model has {size:,} tokens but no vocabulary{''.join(rejected)}; copy its training text into the same"
        f" folder, as {TEXT}"
    )
