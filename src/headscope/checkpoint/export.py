"""Writes a checkpoint in a format that other programs read."""

import json
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from headscope.checkpoint import hf_folder, part4_layout
from headscope.checkpoint.format import card
from headscope.checkpoint.hf_families import family_of
from headscope.checkpoint.hf_tokenizer import spaced
from headscope.checkpoint.reading import Loaded, find, load
from headscope.checkpoint.source import Source
from headscope.data.tokenizers import UnknownToken
from headscope.errors import UserError, not_written
from headscope.files import beside, sync_file, sync_folder
from headscope.model.transformer import TransformerLM

TOLERANCE = 1e-4  #: largest allowed difference between the logits of the model and of its export


def export(path: str | Path, kind: str) -> bytes:
    """Returns the content of the exported file.

    With the kind `part4`, the content is a dictionary that the classes of Part 4 (`docs/PART4.md`) load. With the kind
    `safetensors`, it is the weights, with the description of model, tokenizer and run in the metadata. Raises UserError
    as `load` does, or if Part 4's classes cannot represent the model.
    """
    model, tokenizer, about = load(path)
    if kind == "safetensors":
        description = card(model, tokenizer, **about)
        weights = {k: v.clone(memory_format=torch.contiguous_format) for k, v in model.state_dict().items()}
        return to_safetensors(weights, {"headscope": json.dumps(description)})
    if not isinstance(model, TransformerLM):
        raise UserError(f"{path} holds a {type(model).__name__}; --format part4 is for a TransformerLM")
    history = Source(find(path)).content.get("callbacks", {}).get("History", {})
    return part4_layout.write(model, tokenizer, history.get("train_loss"))


def export_folder(path: str | Path, out: Path) -> str:
    """Writes a folder that `transformers` opens, checks it, and returns a one-line report.

    The folder gets its name only after all files are written and checked. Raises UserError as `load` does, if
    transformers has no counterpart to the model, or if the check finds a difference; RunFailed if the disk is full.
    """
    loaded = load(path)
    contents = hf_folder.files(*loaded)
    temporary = beside(out)
    try:
        temporary.mkdir(parents=True)
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
            sync_file(temporary / name)
        report = _check(loaded, temporary)
        temporary.replace(out)
        sync_folder(out.parent)
    except OSError as e:
        raise not_written(e, out) from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    name = family_of(loaded.model).name
    return f"{sum(map(len, contents.values())):,} bytes, a {name} for transformers; {report}"


@torch.inference_mode()
def _check(loaded: Loaded, folder: Path) -> str:
    """Compares the model with its export as Headscope and transformers read it; raises UserError if they differ."""
    model, tokenizer, _ = loaded
    ids = torch.randint(model.vocab_size, (4, model.block_size), generator=torch.Generator().manual_seed(0))
    decoded = [tokenizer.decode(row) for row in ids.tolist()]
    encoded = {}
    for text in (*decoded, tokenizer.decode(range(model.vocab_size))):
        with suppress(UnknownToken):  # a vocabulary of another program can have a word with a space, which is split
            encoded[text] = tokenizer.encode(text).tolist()
    readers: list[tuple[str, Callable[[Tensor], Tensor], Any]] = [("Headscope", *load(folder)[:2])]
    with warnings.catch_warnings(action="ignore"):
        if transformers := hf_folder.open_with_transformers(folder):
            readers.append(transformers)
        for name, logits, their_tokenizer in readers:
            difference = (logits(ids) - model(ids)).abs().max().item()
            if not difference <= TOLERANCE:
                raise UserError(
                    f"nothing was written: loaded in {name}, the export gives logits that differ from the model's by"
                    f" {difference:.2g}, and at most {TOLERANCE:g} is allowed; use --format safetensors"
                )
            texts = [their_tokenizer.decode(row) for row in ids.tolist()]
            same_texts = all(text in (ours, spaced(tokenizer, ours)) for text, ours in zip(texts, decoded, strict=True))
            if not same_texts or any(list(their_tokenizer.encode(text)) != row for text, row in encoded.items()):
                raise UserError(
                    f"nothing was written: loaded in {name}, the exported tokenizer gives other ids or texts than the"
                    " model's tokenizer; use another --format"
                )
    advice = "" if transformers else "; install transformers to check the folder with it too"
    return f"loaded in {name}, it gives the model's logits within {difference:.1g}{advice}"
