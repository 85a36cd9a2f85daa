"""Loads a model and its tokenizer from a run's checkpoint, from an export, or from a file of another program."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Len, Lt

from headscope.annotations import one_line
from headscope.checkpoint import format as own_format
from headscope.checkpoint import hf_folder, nanogpt_layout, part4_layout
from headscope.checkpoint.source import UNNAMED, CardAndWeights, Source, UnsupportedModel, checked, limit_entries
from headscope.checkpoint.weights import check_shapes
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.model.transformer import LanguageModel
from headscope.packing import unpack
from headscope.shell import printable

#: The formats that can be read, one row each: `recognises` returns whether a file or folder has the format, and `read`
#: returns its card and weights. The first match is used. Folders come first, because names of files are enough to
#: recognise them; the other rows read `Source.content`, which loads the whole file. `read` raises `UnsupportedModel`
#: if Headscope has no equivalent model or tokenizer, another UserError if a file is missing, and any other error for a
#: damaged file.
FORMATS: tuple[tuple[Callable[[Source], bool], Callable[[Source], CardAndWeights]], ...] = (
    (hf_folder.recognises, hf_folder.read),
    (own_format.recognises, own_format.read),
    (part4_layout.recognises, part4_layout.read),
    (nanogpt_layout.recognises, nanogpt_layout.read),
)
LONGEST = 450  #: number of characters of a message, which may contain names from a file
LAST = "last.ckpt"  #: a run's newest checkpoint; `run.folder` names the same file
MAX_TEXTS, MAX_TOKENS = 1000, 4096  #: of `about.passages`; a run keeps 5 texts of at most 129 tokens
MAX_NAME = 200  #: in characters


class Loaded(NamedTuple):
    """A loaded checkpoint. Unpacks to `model, tokenizer, about`."""

    model: LanguageModel
    tokenizer: Tokenizer
    about: dict[str, Any]


def find(path: str | Path) -> Path:
    """Returns the checkpoint in a folder: a run's best one, or nanoGPT's. Returns any other path unchanged."""
    path = Path(path)
    inside = (path / "checkpoints" / "best.ckpt", path / "best.ckpt", path / nanogpt_layout.FILE)
    return next((file for file in inside if file.is_file()), path)


def load(path: str | Path | Source, text: Callable[[], str] | None = None) -> Loaded:
    """Returns the model (in eval mode, on the CPU), its tokenizer, and a description of the run.

    The path is a run's folder or one of its `*.ckpt` files, an export to safetensors, a folder that transformers opens,
    or a file that Part 4 or nanoGPT saved. `text` returns the training text, for a file without a vocabulary. Raises
    UserError if the file does not exist, is damaged, is not a checkpoint, or if loading it would execute code.
    """
    source = path if isinstance(path, Source) else Source(find(path), text)
    path = source.path
    if not path.exists():
        raise UserError(f"there is no checkpoint at {path}; train a model, or use another path")
    try:
        for recognises, read in FORMATS:
            if recognises(source):
                return _build(*read(source))
    except UnsupportedModel as e:
        raise UserError(f"{path} cannot be used: {one_line(str(e), LONGEST)}") from e
    except UserError:
        raise
    except Exception as e:
        raise UserError(f"{path} is damaged or from another version ({type(e).__name__}); use another file") from e
    if last := next((file for file in (path / "checkpoints" / LAST, path / LAST) if file.is_file()), None):
        raise UserError(f"{path} has no best.ckpt, because its run did not reach a validation; use {last}")
    kind = "a folder without checkpoints/best.ckpt" if path.is_dir() else "not a checkpoint that Headscope reads"
    usable = "use a run's folder or one of its *.ckpt files, an export, or a checkpoint of nanoGPT or Part 4"
    raise UserError(f"{path} is {kind}; {usable}")


def _build(card: dict[str, Any], weights: dict[str, Any]) -> Loaded:
    """Builds the tokenizer and the model that a card describes; raises ValueError if they do not fit the weights."""
    for part, value in card.items():
        limit_entries(value, part)
    tokenizer = own_format.constructor(card["tokenizer"], Tokenizer, "tokenizer")()
    build = own_format.constructor(card["model"], LanguageModel, "model")
    if (tokens := build.keywords["vocab_size"]) != len(tokenizer):
        raise UnsupportedModel(f"the model has {tokens} tokens, but the tokenizer has {len(tokenizer)}")
    check_shapes(build, weights)
    about = _checked_about(card.get("about", {}), len(tokenizer))
    model = build()
    model.load_state_dict(weights)
    return Loaded(model.eval(), tokenizer, about)


def _checked_about(saved: Any, vocab_size: int) -> dict[str, Any]:
    """Returns the description of the run with its name and the name of its data, both without control characters.

    Raises UnsupportedModel if an entry that commands read has a wrong type or range.
    """
    about: dict[str, Any] = checked(saved, dict[str, Any], "about")
    data = checked(about.get("data", {}), dict[str, Any], "about.data")
    checked(about.get("step", 0), Annotated[int, Ge(0)], "about.step")
    tokens = Annotated[Sequence[Annotated[int, Ge(0), Lt(vocab_size)]], Len(1, MAX_TOKENS)]
    texts = checked(about.get("passages"), Annotated[Sequence[tokens], Len(0, MAX_TEXTS)] | None, "about.passages")
    if len(set(map(len, texts or ()))) > 1:
        raise UnsupportedModel("about.passages has texts of different lengths; all must have the same length")
    for key, packed in checked(about.get("texts", {}), dict[str, Any], "about.texts").items():
        try:
            unpack(checked(packed, str, f"about.texts.{key}"), vocab_size)
        except ValueError as e:
            raise UnsupportedModel(f"about.texts.{key} {e}") from None
    name = checked(about.get("name", "a run without a name"), str, "about.name")
    data_name = checked(data.get("name", UNNAMED), str, "about.data.name")
    return about | {"name": printable(name[:MAX_NAME]), "data": data | {"name": printable(data_name[:MAX_NAME])}}
