"""Writes and reads a folder that `transformers` opens, and opens it with that library.

    config.json, model.safetensors, generation_config.json, tokenizer.json, tokenizer_config.json

Shapes: B texts, T positions, V vocabulary.
"""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from headscope.checkpoint import hf_layout, hf_tokenizer
from headscope.checkpoint.format import describe
from headscope.checkpoint.source import UNNAMED, CardAndWeights, Source
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.model.transformer import LanguageModel

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
SHARDS = "model.safetensors.index.json"  #: lists the files of weights that are split into several
ABOUT = "headscope_about"  #: metadata key for the description of the run; transformers ignores this key


def files(model: LanguageModel, tokenizer: Tokenizer, about: dict[str, Any]) -> dict[str, bytes]:
    """Returns the content of each file by name; raises UserError as `hf_layout.write` and `hf_tokenizer.write` do."""
    config, weights = hf_layout.write(model)
    pad = tokenizer.end if tokenizer.pad is None else tokenizer.pad
    special_ids = {"bos_token_id": tokenizer.opening, "eos_token_id": tokenizer.end, "pad_token_id": pad}
    objects = {
        CONFIG: config | special_ids,
        "generation_config.json": special_ids,
        TOKENIZER: hf_tokenizer.write(tokenizer),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "attention_mask"],  # old transformers add token types for GPT-2
            "model_max_length": model.block_size,
            "clean_up_tokenization_spaces": False,
            "padding_side": "left",  # generation continues the right end
            **hf_tokenizer.special_tokens(tokenizer),
        },
    }
    contents = {name: json.dumps(content, indent=2, ensure_ascii=False).encode() for name, content in objects.items()}
    return contents | {WEIGHTS: to_safetensors(weights, {"format": "pt", ABOUT: json.dumps(about)})}


def recognises(source: Source) -> bool:
    """Whether the source is a folder that transformers opens, or a file of weights in such a folder."""
    folder, path = _folder(source), source.path
    is_weights = path.name == WEIGHTS or (path.suffix == ".safetensors" and (folder / SHARDS).is_file())
    return any((folder / name).is_file() for name in (CONFIG, SHARDS)) and (path.is_dir() or is_weights)


def read(source: Source) -> CardAndWeights:
    """Returns the card and the weights; see `reading.FORMATS`."""
    folder = _folder(source)
    if (folder / SHARDS).is_file() and not (folder / WEIGHTS).is_file():
        raise UserError(
            f"{folder} has its weights in several files; save them in one, with model.save_pretrained(folder,"
            " max_shard_size='1TB')"
        )
    missing = [name for name in (WEIGHTS, TOKENIZER) if not (folder / name).is_file()]
    if missing:
        advice = "use save_pretrained for both model and tokenizer"
        raise UserError(f"{folder} has a {CONFIG}, but no {missing[0]}; {advice}")
    with safe_open(folder / WEIGHTS, framework="pt") as f:
        about = json.loads((f.metadata() or {}).get(ABOUT, "{}"))
    if isinstance(about, dict):
        about = {"name": folder.resolve().name, "data": {"name": UNNAMED}} | about
    config, saved_tokenizer = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (CONFIG, TOKENIZER))
    model, weights = hf_layout.read(config, load_file(folder / WEIGHTS))
    end = config.get("eos_token_id")
    tokenizer = hf_tokenizer.read(saved_tokenizer, end if isinstance(end, int) else None)
    return {"model": model, "tokenizer": describe(tokenizer), "about": about}, weights


def _folder(source: Source) -> Path:
    return source.path if source.path.is_dir() else source.path.parent


def open_with_transformers(folder: Path) -> tuple[str, Callable[[Tensor], Tensor], Any] | None:
    """Opens a folder with transformers; returns None if that library is not installed.

    Otherwise returns the library's name and version, a function from ids (B, T) to logits (B, T, V), and the tokenizer.
    """
    if not find_spec("transformers"):
        return None
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).float().eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return f"transformers {transformers.__version__}", lambda ids: model(ids).logits, tokenizer
