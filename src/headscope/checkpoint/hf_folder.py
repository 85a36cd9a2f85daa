"""A folder that `transformers` opens: its files from a model, a model from its files, and how that library reads it.

    config.json, model.safetensors, generation_config.json, tokenizer.json, tokenizer_config.json

Shapes: B texts, T positions, V vocabulary, N tokens.
"""

import json
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from headscope.checkpoint import hf_layout, hf_tokenizer
from headscope.checkpoint.format import describe
from headscope.checkpoint.hf_families import Foreign
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.model.transformer import LanguageModel

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
ABOUT = "headscope_about"  #: a key of the weights' metadata, which transformers ignores: what the run was
UNNAMED = {"name": "a text that the folder does not name"}


def files(model: LanguageModel, tokenizer: Tokenizer, about: dict[str, Any]) -> dict[str, bytes]:
    """The content of each file, by name.

    Raises:
        UserError: the model or its tokenizer has no counterpart there; the line names the part.
    """
    config, weights = hf_layout.write(model)
    ids = {"bos_token_id": tokenizer.opening, "eos_token_id": tokenizer.end, "pad_token_id": tokenizer.pad}
    said = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],  # else older versions add a GPT-2's token types
        "model_max_length": model.block_size,
        "clean_up_tokenization_spaces": False,
    }
    described = {
        CONFIG: config | ids,
        "generation_config.json": ids,
        TOKENIZER: hf_tokenizer.write(tokenizer),
        "tokenizer_config.json": said,
    }
    contents = {name: json.dumps(content, indent=2, ensure_ascii=False).encode() for name, content in described.items()}
    return contents | {WEIGHTS: to_safetensors(weights, {"format": "pt", ABOUT: json.dumps(about)})}


def read(folder: Path) -> dict[str, Any]:
    """The content of such a folder, with `config`, `tokenizer`, `about` and `weights`.

    Raises:
        UserError: one of the files is not there.
        Exception: one is damaged.
    """
    for name in (WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} has a {CONFIG} and no {name}; save model and tokenizer there, both by save_pretrained"
            )
    with safe_open(folder / WEIGHTS, framework="pt") as f:
        about = json.loads((f.metadata() or {}).get(ABOUT, "{}"))
    weights = load_file(folder / WEIGHTS)
    config, tokenizer = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (CONFIG, TOKENIZER))
    named = isinstance(about, dict) and "name" in about and "name" in about.get("data", {})
    about = about if named else {"name": folder.resolve().name, "data": UNNAMED}
    return {"config": config, "tokenizer": tokenizer, "about": about, "weights": weights}


def described(saved: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A card and weights of ours from what `read` gave.

    Raises:
        Foreign: they are none of ours; the line says what differs.
    """
    config = saved["config"]
    model, weights = hf_layout.read(config, saved["weights"])
    end = config.get("eos_token_id")
    tokenizer = hf_tokenizer.read(saved["tokenizer"], end if isinstance(end, int) else None)
    if model["vocab_size"] != len(tokenizer):
        raise Foreign(f"it has {model['vocab_size']} tokens, and its tokenizer {len(tokenizer)}")
    return {"model": model, "tokenizer": describe(tokenizer), "about": saved["about"]}, weights


def opened(folder: Path, ids: Tensor, texts: Sequence[str]) -> tuple[str, Tensor, list[str], list[list[int]]] | None:
    """What the library makes of a folder: its version, logits (B, T, V) and texts of ids (B, T), ids of texts.

    None: it is not installed.
    """
    if not find_spec("transformers"):
        return None
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        import transformers

        said = transformers.utils.logging
        progress, level = said.is_progress_bar_enabled(), said.get_verbosity()
        said.disable_progress_bar()
        said.set_verbosity_error()
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            logits = model.float().eval()(ids).logits
            written = [tokenizer.decode(row) for row in ids.tolist()]
            read = [tokenizer(text)["input_ids"] for text in texts]
        finally:
            said.set_verbosity(level)
            if progress:
                said.enable_progress_bar()
    return str(transformers.__version__), logits, written, read
