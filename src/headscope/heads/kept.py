"""The description of every head of a model: read from a file if its weights are the same, or else made and kept.

Describing the heads of a small model takes seconds, so each description is kept in a file.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.heads.descriptions import Description, from_data, to_data
from headscope.heads.replacing import describe_attention
from headscope.heads.reports import SHORTEST
from headscope.heads.token_classes import Vocabulary
from headscope.model.transformer import TransformerLM
from headscope.packing import unpack

VERSION = 1  #: changes if the same weights would get another description


def texts(about: Mapping[str, Any], vocab_size: int) -> tuple[Tensor, Tensor] | None:
    """Returns the texts for fitting and measuring rules that a checkpoint keeps; None if it has none, or short ones."""
    packed = [about.get("texts", {}).get(key) for key in ("fitting", "held_out")]
    if None in packed:
        return None
    fitting, held_out = (unpack(text, vocab_size) for text in packed)
    return (fitting, held_out) if min(fitting.shape[1], held_out.shape[1]) >= SHORTEST else None


def described(
    model: TransformerLM, vocab: Sequence[str], unit: str, about: Mapping[str, Any], files: Sequence[Path]
) -> list[Description]:
    """Returns the description of every head; empty if the checkpoint has no texts for it.

    `vocab` has the text of every token, and `unit` names a token. The first of `files` that has the descriptions of
    these weights is read. Otherwise, the heads are described, and the result is written to the last of `files`.
    """
    found = texts(about, len(vocab))
    if found is None:
        return []
    key = _key(model)
    for file in files:
        if (kept := _read(file, key)) is not None:
            return kept
    print("describing the heads: fitting a rule to the attention of each …", file=sys.stderr)
    descriptions = describe_attention(model, *found, Vocabulary(vocab), unit)
    if files:
        try:
            content = json.dumps({"version": VERSION, "weights": key, "heads": to_data(descriptions)})
            write_atomically(files[-1], content.encode())
        except UserError as e:  # for example, a folder that is read only
            print(f"the descriptions are not kept: {e}", file=sys.stderr)
    return descriptions


def _read(file: Path, key: str) -> list[Description] | None:
    """Returns the descriptions in a file; None if it is missing, damaged, or about other weights."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if (content["version"], content["weights"]) != (VERSION, key):
            return None
        return from_data(content["heads"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError):
        return None


def _key(model: TransformerLM) -> str:
    """Returns a checksum of a model's weights."""
    checksum = hashlib.sha256()
    for name, weight in model.state_dict().items():
        checksum.update(name.encode())
        checksum.update(weight.detach().cpu().contiguous().float().numpy().tobytes())
    return checksum.hexdigest()
