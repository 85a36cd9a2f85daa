"""A trained model from a file: it generates text, predicts tokens, measures losses, and shows its heads.

Shapes: L layers, H heads, T positions, V vocabulary.
"""

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from headscope import checkpoint
from headscope.annotations import invalid_value
from headscope.config.generate_keys import GenerateConfig
from headscope.config.schema import parse
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.generation.text import next_tokens, write_texts
from headscope.heads import HeadReport, look, table
from headscope.heads.descriptions import Description
from headscope.model.transformer import LanguageModel
from headscope.python.arguments import absolute_path, checked_text
from headscope.run.folder import RunFolder
from headscope.show import heads, page
from headscope.show.request import ShowRequest

HEIGHT = 800  #: pixels of the frame in a notebook


@dataclass(frozen=True)
class Page:
    """An HTML document that contains the model and runs it offline as you type.

    A notebook shows the page in a sandboxed frame, whose scripts cannot access the notebook.
    """

    html: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Writes the page to a file, and returns its path; raises `UserError` if it cannot be written."""
        file = absolute_path(path)
        write_atomically(file, self.html.encode())
        return file

    def __repr__(self) -> str:
        return f"Page of {len(self.html.encode()) / 1e6:.1f} MB"

    def _repr_html_(self) -> str:
        style = f"width: 100%; height: {HEIGHT}px; border: 0"
        frame = f'<iframe sandbox="allow-scripts allow-downloads" title="a model and its heads" style="{style}"'
        return f'{frame} srcdoc="{escape(self.html)}"></iframe>'


class Heads:
    """The attention maps of every head on a text, and the role of every head.

    `print(heads)` prints the table of `show=heads`.

    Attributes:
        tokens: the labels of the T tokens.
        maps: the attention weights (L, H, T, T) of each query (row) on each key (column); rows sum to one.
    """

    def __init__(self, request: ShowRequest) -> None:
        model, ids = request.transformer(), request.context()
        self._request = request
        self.tokens: list[str] = [request.tokenizer.show(i) for i in ids[0].tolist()]
        self.maps: Tensor = look(model, ids, "maps").maps[:, 0]

    @cached_property
    def reports(self) -> list[HeadReport]:
        """The role of each head with its evidence, measured on the probe texts from the checkpoint."""
        return heads.reports(self._request)

    @cached_property
    def descriptions(self) -> list[Description]:
        """What each head does, as a rule that can replace its attention; empty if the checkpoint keeps no texts."""
        return self._request.descriptions

    def __str__(self) -> str:
        return table.as_text(self.reports)

    def __repr__(self) -> str:
        layers, n = self.maps.shape[:2]
        return f"Heads: {layers} layers of {n}, on {len(self.tokens)} tokens"


class Trained:
    """A model with its tokenizer, from `load`. It unpacks to `model, tokenizer, about`.

    >>> headscope.load(folder).generate("I", max_new_tokens=2, temperature=0)
    'I love cats'
    """

    def __init__(self, path: str | Path) -> None:
        self.checkpoint: Path = checkpoint.find(absolute_path(path))

    @cached_property
    def _loaded(self) -> checkpoint.Loaded:
        return checkpoint.load(self.checkpoint)

    @property
    def model(self) -> LanguageModel:
        """A torch module that maps ids (B, T) to logits (B, T, V). It is in eval mode and on the CPU."""
        return self._loaded.model

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer: `encode` maps text to ids (T,), and `decode` maps a list or a tensor of ids to text."""
        return self._loaded.tokenizer

    @property
    def about(self) -> dict[str, Any]:
        """What the checkpoint records about its run: name, data, step, config and versions."""
        return self._loaded.about

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loaded)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.checkpoint)!r})"

    def generate(
        self,
        text: str = "",
        max_new_tokens: int = 500,
        *,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 1,
    ) -> str:
        """Returns a text with the model's continuation, as `generate.py` prints it.

        Args:
            text: the text to continue; it may be empty.
            max_new_tokens: the number of tokens to draw.
            temperature: 0 always takes the most likely token.
            top_k: draw only from the `top_k` most likely tokens.
            top_p: draw only from the fewest most likely tokens whose probabilities sum to at least `top_p`.
            seed: the seed of the random draws.

        Raises:
            UserError: an option is out of range, or a token of the text is not in the vocabulary.
        """
        text = checked_text(text, "generate")
        options = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
        writing = parse(options | {"top_k": top_k, "top_p": top_p}, GenerateConfig)
        generator = torch.Generator().manual_seed(writing.seed)
        return "".join(write_texts(self.model, self.tokenizer, text, writing.max_new_tokens, writing, [generator])[0])

    def next(self, text: str = "", most: int = 10) -> list[tuple[str, float]]:
        """Returns the `most` likely next tokens, with their probabilities at temperature 1.

        Raises:
            UserError: a token of the text is not in the vocabulary, or `most` is below 1.
        """
        text = checked_text(text, "next")
        if most < 1:
            raise invalid_value("most", most, "at least 1")
        return next_tokens(self.model, self.tokenizer, text, most)

    @torch.inference_mode()
    def loss(self, text: str) -> float:
        """Returns the mean loss in nats per token of a text, read as training reads its texts.

        For a model of lines or sentences, each line of the text is an example with its end token, and only its first
        token is not predicted. Any other text is one example. As for a run's validation loss, an example is cut into
        windows of the model's context; no two share a target.

        Raises:
            UserError: the text has fewer than two tokens, or one of them is not in the vocabulary.
        """
        examples = self.tokenizer.examples(checked_text(text, "loss"))
        targets = sum(len(ids) - 1 for ids in examples)
        if targets < 1:
            shown = f"{reprlib.repr(text)} has {sum(map(len, examples))}"
            raise UserError(f"a loss needs at least two tokens, and {shown}; use a longer text")
        device, size = next(self.model.parameters()).device, self.model.block_size
        total = 0.0
        for ids in examples:
            for at in range(0, len(ids) - 1, size):
                x, y = (ids[i : i + size].to(device) for i in (at, at + 1))
                total += F.cross_entropy(self.model(x[None, : len(y)])[0], y, reduction="sum").item()
        return total / targets

    def heads(self, text: str = "") -> Heads:
        """Returns the attention maps of every head on a text, and the role of every head with its evidence.

        Raises:
            UserError: the model has no heads, or a token of the text is not in the vocabulary.
        """
        return Heads(self._request(text, "heads"))

    def page(self, text: str = "") -> Page:
        """Returns a page that contains the model and initially shows it on a text; a notebook displays the page.

        Raises:
            UserError: the page would be too large, or a token of the text is not in the vocabulary.
        """
        return Page(page.page(self._request(text, "page")))

    def _request(self, text: str, function: str) -> ShowRequest:
        text = checked_text(text, function)
        run = RunFolder(self.checkpoint.parent.parent)
        return ShowRequest(
            self.model,
            self.tokenizer,
            text,
            self.checkpoint,
            self.about,
            film=run.film_file,
            described=run.descriptions_file,
        )


def load(path: str | Path) -> Trained:
    """Reads a trained model without executing any code in the file.

    Args:
        path: a run's folder, whose best checkpoint is read, or a file: a checkpoint (`*.ckpt`) or an export.

    Raises:
        UserError: the file is missing, damaged, not a checkpoint, or would run code.
    """
    trained = Trained(path)
    trained._loaded  # noqa: B018, so that errors are raised now
    return trained
