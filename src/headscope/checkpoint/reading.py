"""A model and its tokenizer from a file: a run's checkpoint, its exports, or what other programs save.

A file is data: tensors, numbers, strings, lists and dicts. Nothing in it is executed.
"""

import json
import pickle
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from headscope.checkpoint import hf_folder, nanogpt_layout, part4_layout, shapes
from headscope.checkpoint.format import constructor
from headscope.checkpoint.hf_families import Foreign
from headscope.checkpoint.migration import to_current
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.model.transformer import LanguageModel

PREFIX = "model."  #: before each weight's name inside a LightningModule


class Loaded(NamedTuple):
    """What a checkpoint holds. Unpacks to `model, tokenizer, about`."""

    model: LanguageModel
    tokenizer: Tokenizer
    about: dict[str, Any]


def find(path: str | Path) -> Path:
    """The file meant by a path: itself, or the best checkpoint of a run whose folder it is; nanoGPT's has one."""
    path = Path(path)
    inside = (path / "checkpoints" / "best.ckpt", path / "best.ckpt", path / nanogpt_layout.FILE)
    return next((file for file in inside if file.is_file()), path)


def newest(runs: Path) -> Path | None:
    """The best checkpoint of the newest run in a folder; None if no run there has one."""
    return max(runs.glob("**/checkpoints/best.ckpt"), key=lambda path: path.stat().st_mtime, default=None)


def load(path: str | Path, text: Callable[[], str] | None = None) -> Loaded:
    """The model (in eval mode, on the CPU), its tokenizer, and a description of the run.

    Args:
        path: a run's folder or one of its `*.ckpt`, an export to safetensors, a folder that transformers opens, the
            dictionary that Part 4 saves, or that of nanoGPT.
        text: gives the text that the model was trained on, for a file without a vocabulary.

    Raises:
        UserError: the file does not exist, is damaged, is no checkpoint of ours, or would run code.
    """
    return loaded(read(path), path, text)


def loaded(saved: dict[str, Any], path: str | Path, text: Callable[[], str] | None = None) -> Loaded:
    """The same of a file's content.

    Raises:
        UserError: see `load`; the path is for its message.
    """
    try:
        if saved.keys() == {"config", "tokenizer", "about", "weights"}:
            described, weights = hf_folder.described(saved)
        elif "model_state_dict" in saved:
            described, weights = part4_layout.read(saved)
        elif {"model", "model_args"} <= saved.keys():
            described, weights = nanogpt_layout.read(saved, find(path).parent, text)
        elif isinstance(saved.get("headscope"), dict):
            described = to_current(saved["headscope"], path)
            weights = {k.removeprefix(PREFIX): v for k, v in saved["state_dict"].items()}
        else:
            raise UserError(f"{path} is not a Headscope checkpoint; give a *.ckpt of a run's folder")
        tokenizer = constructor(described["tokenizer"], Tokenizer)()
        build = constructor(described["model"], LanguageModel)
        if build.keywords["vocab_size"] != len(tokenizer):
            raise ValueError("vocabulary")
        shapes.check(build, weights)
        model = build()
        model.load_state_dict(weights)
        step = {"step": saved["global_step"]} if "global_step" in saved else {}
        return Loaded(model.eval(), tokenizer, described["about"] | step)
    except Foreign as e:
        raise UserError(f"{path} cannot be used: {e}") from e
    except UserError:
        raise
    except Exception as e:
        raise UserError(f"{path} is damaged or of another version ({type(e).__name__}); use another checkpoint") from e


def read(path: str | Path) -> dict[str, Any]:
    """The content of a file, tensors on the CPU.

    Raises:
        UserError: see `load`.
    """
    path = find(path)
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / hf_folder.CONFIG).is_file():
        raise UserError(f"{path} is a folder without checkpoints/best.ckpt; give a run's folder, or a checkpoint")
    if not path.exists():
        raise UserError(f"there is no checkpoint at {path}; train one, or give another path")
    try:
        if path.is_dir() or (path.name == hf_folder.WEIGHTS and (folder / hf_folder.CONFIG).is_file()):
            return hf_folder.read(folder)
        if _is_safetensors(path):
            return _read_safetensors(path)
        with warnings.catch_warnings(
            action="ignore"
        ):  # torch warns about a pickle that is no checkpoint; the error says so
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError as e:
        reason = "holds code, not only data," if "GLOBAL" in str(e) or "reduce" in str(e) else "is damaged"
        raise UserError(f"{path} {reason} and was not loaded; give a checkpoint that Headscope wrote") from e
    except Exception as e:
        raise UserError(f"{path} cannot be read ({type(e).__name__}); it is damaged or no checkpoint") from e
    if not isinstance(saved, dict):
        raise UserError(f"{path} is not a Headscope checkpoint; give a *.ckpt of a run's folder")
    return saved


def _is_safetensors(path: Path) -> bool:
    """Eight bytes of a header's length, then the header, which is JSON."""
    with path.open("rb") as f:
        start = f.read(9)
    return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as f:
        described = (f.metadata() or {}).get("headscope")
    if described is None:
        raise SafetensorError("no card")
    return {"headscope": json.loads(described), "state_dict": load_file(path)}
