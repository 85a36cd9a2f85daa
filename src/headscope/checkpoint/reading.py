"""Loads a model and its tokenizer from a run's checkpoint, from an export, or from a file of another program."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from headscope.checkpoint import format as own_format
from headscope.checkpoint import hf_folder, nanogpt_layout, part4_layout
from headscope.checkpoint.source import CardAndWeights, Source, UnsupportedModel
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.model.transformer import LanguageModel

#: The formats that can be read, one row each. `recognises` returns whether a file or folder has the format, and `read`
#: returns its card and weights. The first match is used. Folders come first, because the others read
#: `Source.content`, which raises an error if it cannot read a file. `read` raises `UnsupportedModel` if Headscope has
#: no equivalent model or tokenizer, another UserError if a file is missing, and any other error for a damaged file.
FORMATS: tuple[tuple[Callable[[Source], bool], Callable[[Source], CardAndWeights]], ...] = (
    (hf_folder.recognises, hf_folder.read),
    (own_format.recognises, own_format.read),
    (part4_layout.recognises, part4_layout.read),
    (nanogpt_layout.recognises, nanogpt_layout.read),
)
MAX_POSITIONS = 1 << 17  #: largest allowed block_size, so that a damaged file does not create a huge table of positions


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


def load(path: str | Path, text: Callable[[], str] | None = None) -> Loaded:
    """Returns the model (in eval mode, on the CPU), its tokenizer, and a description of the run.

    The path is a run's folder or one of its `*.ckpt` files, an export to safetensors, a folder that transformers opens,
    or a file that Part 4 or nanoGPT saved. `text` returns the training text, for a file without a vocabulary. Raises
    UserError if the file does not exist, is damaged, is not a checkpoint, or if loading it would execute code.
    """
    source = Source(find(path), text)
    path = source.path
    if not path.exists():
        raise UserError(f"there is no checkpoint at {path}; train a model, or use another path")
    try:
        for recognises, read in FORMATS:
            if recognises(source):
                loaded = _build(*read(source))
                loaded.tokenizer.checkpoint = str(path)
                return loaded
    except UnsupportedModel as e:
        raise UserError(f"{path} cannot be used: {e}") from e
    except UserError:
        raise
    except Exception as e:
        raise UserError(f"{path} is damaged or from another version ({type(e).__name__}); use another file") from e
    if path.is_dir():
        raise UserError(f"{path} is a folder without checkpoints/best.ckpt; use a run's folder, or a checkpoint")
    raise UserError(f"{path} is not a Headscope checkpoint; use a *.ckpt file from a run's folder")


def _build(card: dict[str, Any], weights: dict[str, Any]) -> Loaded:
    """Builds the tokenizer and the model that a card describes; raises ValueError if they do not fit the weights."""
    tokenizer = own_format.constructor(card["tokenizer"], Tokenizer)()
    build = own_format.constructor(card["model"], LanguageModel)
    if build.keywords["vocab_size"] != len(tokenizer):
        raise ValueError("vocabulary")
    check_shapes(build, weights)
    model = build()
    model.load_state_dict(weights)
    return Loaded(model.eval(), tokenizer, card["about"])


class WithoutParameters(TorchFunctionMode):
    """Creates parameters on the meta device, with a shape but no values; computes position tables as usual.

    `torch.device("meta")` would put all tensors of the model on that device. `torch.arange` and random numbers would
    then import PyTorch's compiler, which takes 0.9 s.
    """

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if getattr(func, "__module__", None) == "torch.nn.init":
            return options["tensor"]
        if func in (torch.empty, torch.zeros, torch.ones):
            options["device"] = "meta"
        return func(*args, **options)


def check_shapes(build: partial[LanguageModel], weights: Mapping[str, Tensor]) -> None:
    """Raises ValueError if a file's weights do not have the shapes of the model that `build` would create.

    Does not allocate memory for the model.
    """
    sizes, values = build.keywords, sum(w.numel() for w in weights.values())
    too_many_layers = sizes.get("n_layers", 0) > len(weights)
    if too_many_layers or sizes["block_size"] > MAX_POSITIONS or sizes.get("d_model", 0) > values:
        raise ValueError("sizes")
    with suppress(Exception), WithoutParameters():  # a plugin's class may not support this mode or this block_size
        # A model with block_size=1 is quick to build. Its shapes have 1 in place of the real block_size.
        small = partial(build, block_size=1)().state_dict()
        if _shapes(small, sizes["block_size"]) == _shapes(weights, sizes["block_size"]):
            return
    with torch.device("meta"):
        if _shapes(build().state_dict()) != _shapes(weights):
            raise ValueError("shapes")


def _shapes(weights: Mapping[str, Tensor], instead_of_1: int = 1) -> dict[str, list[int]]:
    """Returns the shape of each weight, in which `instead_of_1` replaces every dimension of size 1."""
    return {name: [instead_of_1 if n == 1 else n for n in weight.shape] for name, weight in weights.items()}
