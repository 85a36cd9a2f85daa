"""Loads a model and its tokenizer from a run's checkpoint, from an export, or from a file of another program."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from headscope.checkpoint import hf_folder, migration, nanogpt_layout, part4_layout, shapes
from headscope.checkpoint.format import constructor
from headscope.checkpoint.source import CardAndWeights, Source, UnsupportedModel
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.model.transformer import LanguageModel

#: Every format that can be read, one row each: `recognises` returns whether a file or folder has the format, and `read`
#: returns its card and weights. The first match is used. Formats that are recognised without `Source.content` come
#: first, because `content` raises an error for unknown kinds of files. `read` raises `UnsupportedModel` if no model or
#: tokenizer of ours computes the same, another UserError if a file is missing, and any other error for a damaged file.
FORMATS: tuple[tuple[Callable[[Source], bool], Callable[[Source], CardAndWeights]], ...] = (
    (hf_folder.recognises, hf_folder.read),
    (migration.recognises, migration.read),
    (part4_layout.recognises, part4_layout.read),
    (nanogpt_layout.recognises, nanogpt_layout.read),
)


class Loaded(NamedTuple):
    """A loaded checkpoint. Unpacks to `model, tokenizer, about`."""

    model: LanguageModel
    tokenizer: Tokenizer
    about: dict[str, Any]


def find(path: str | Path) -> Path:
    """Returns the checkpoint in a folder, the best one of a run or the one of nanoGPT; any other path unchanged."""
    path = Path(path)
    inside = (path / "checkpoints" / "best.ckpt", path / "best.ckpt", path / nanogpt_layout.FILE)
    return next((file for file in inside if file.is_file()), path)


def newest(runs: Path) -> Path | None:
    """Returns the best checkpoint of the newest run in a folder, or None if no run there has a checkpoint."""
    return max(runs.glob("**/checkpoints/best.ckpt"), key=lambda path: path.stat().st_mtime, default=None)


def load(path: str | Path, text: Callable[[], str] | None = None) -> Loaded:
    """Returns the model (in eval mode, on the CPU), its tokenizer, and a description of the run.

    Args:
        path: a run's folder or one of its `*.ckpt` files, an export to safetensors, a folder that transformers opens,
            or a file that Part 4 or nanoGPT saved.
        text: returns the text that the model was trained on, for a file without a vocabulary.

    Raises:
        UserError: the file does not exist, is damaged, is not a checkpoint, or loading it would execute code.
    """
    source = Source(find(path), text)
    path = source.path
    if not path.exists():
        raise UserError(f"there is no checkpoint at {path}; train one, or give another path")
    try:
        for recognises, read in FORMATS:
            if recognises(source):
                return _build(*read(source))
    except UnsupportedModel as e:
        raise UserError(f"{path} cannot be used: {e}") from e
    except UserError:
        raise
    except Exception as e:
        raise UserError(f"{path} is damaged or of another version ({type(e).__name__}); use another checkpoint") from e
    if path.is_dir():
        raise UserError(f"{path} is a folder without checkpoints/best.ckpt; give a run's folder, or a checkpoint")
    raise UserError(f"{path} is not a Headscope checkpoint; give a *.ckpt of a run's folder")


def _build(card: dict[str, Any], weights: dict[str, Any]) -> Loaded:
    """Builds the tokenizer and the model that a card describes; raises ValueError if they do not fit the weights."""
    tokenizer = constructor(card["tokenizer"], Tokenizer)()
    build = constructor(card["model"], LanguageModel)
    if build.keywords["vocab_size"] != len(tokenizer):
        raise ValueError("vocabulary")
    shapes.check(build, weights)
    model = build()
    model.load_state_dict(weights)
    return Loaded(model.eval(), tokenizer, card["about"])
