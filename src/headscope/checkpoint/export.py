"""A checkpoint in a format that other programs read."""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save as to_safetensors

from headscope.checkpoint import hf_folder, hf_layout, part4_layout
from headscope.checkpoint.format import card
from headscope.checkpoint.reading import Loaded, load, read
from headscope.data.tokenizers import UnknownToken
from headscope.errors import UserError, not_written
from headscope.files import BESIDE, sync_file, sync_folder
from headscope.model.transformer import TransformerLM

AGREE = 1e-4  #: nats by which a logit may differ that another program reads back


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


def export_folder(path: str | Path, out: Path) -> str:
    """Writes a folder that `transformers` opens, and says how it was read back. It appears whole or not at all.

    Raises:
        UserError: see `load`; the model has no counterpart there, or what is read back is not the same model.
        RunFailed: the disk is full.
    """
    loaded = load(path)
    contents = hf_folder.files(loaded.model, loaded.tokenizer, loaded.about)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f"{out.name}.", suffix=BESIDE))
        try:
            for name, content in contents.items():
                (beside / name).write_bytes(content)
                sync_file(beside / name)
            said = _read_back(loaded, beside)
            beside.chmod(0o755)
            beside.replace(out)
            sync_folder(out.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as e:
        raise not_written(e, out) from e
    name = hf_layout.family_of(loaded.model).name
    return f"{sum(map(len, contents.values())):,} bytes, a {name} for transformers; {said}"


@torch.inference_mode()
def _read_back(loaded: Loaded, folder: Path) -> str:
    """Compares a folder's model and tokenizer with those that it was made from, here and in transformers.

    Raises:
        UserError: they differ.
    """
    model, tokenizer = loaded.model, loaded.tokenizer
    ids = torch.randint(model.vocab_size, (4, model.block_size), generator=torch.Generator().manual_seed(0))
    written = [tokenizer.decode(row) for row in ids.tolist()]
    texts, wanted = [], []
    for text in (*written, tokenizer.decode(range(model.vocab_size))):
        try:
            wanted.append(tokenizer.encode(text).tolist())
            texts.append(text)
        except UnknownToken:  # such as a word that holds a space
            continue
    again = load(folder)
    back = again.model(ids), [again.tokenizer.decode(row) for row in ids.tolist()]
    found = [("Headscope", *back, [again.tokenizer.encode(text).tolist() for text in texts])]
    if theirs := hf_folder.opened(folder, ids, texts):
        found.append((f"transformers {theirs[0]}", *theirs[1:]))
    logits, off = model(ids), 0.0
    for reader, their_logits, their_texts, their_ids in found:
        off = (their_logits - logits).abs().max().item()
        if not off <= AGREE:
            raise UserError(
                f"{reader} reads logits back that differ by {off:.2g}, and {AGREE:g} is allowed; nothing was written;"
                " use --format safetensors"
            )
        if their_texts != written or their_ids != wanted:
            raise UserError(f"{reader} reads a tokenizer back that differs; nothing was written; use another --format")
    by = found[-1][0] if theirs else "Headscope; install transformers to have it read there too"
    return f"logits agree within {off:.1g}, read back by {by}"
