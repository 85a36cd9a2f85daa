"""`show=page`: one HTML file that contains the model and runs it while you type.

Shapes: B texts, T positions, L layers, H heads, D = C / H.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headscope import portable
from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.generation.decode import context_start
from headscope.generation.rounded import measure_rounding, round_to_float16
from headscope.generation.sampling import finite
from headscope.generation.text import prompt_ids
from headscope.heads import HeadReport, look
from headscope.heads.descriptions import Description, Estimate
from headscope.heads.film import LONGEST, Film, frame
from headscope.heads.rule_data import rule_data, shared_data
from headscope.heads.sentences import sentences
from headscope.heads.table import role_labels
from headscope.heads.token_classes import Vocabulary
from headscope.model.transformer import LanguageModel, TransformerLM
from headscope.render.labels import label
from headscope.render.model_page import model_page
from headscope.show.request import ShowRequest

if TYPE_CHECKING:
    from headscope.data.tokenizers import Tokenizer

LARGEST = 25_000_000  #: bytes; larger pages are hard to send and slow to open
MIN_BYTES_PER_WEIGHT = 2.2  #: in a page: 16-bit numbers, gzipped and then base64-encoded


def show(request: ShowRequest) -> None:
    """Writes the page and prints its path on standard output."""
    path = target(request)
    write_atomically(path, page(request).encode())
    print(f"{path.stat().st_size / 1e6:.1f} MB, opens in any browser and works offline:", file=sys.stderr)
    print(path)


def target(request: ShowRequest) -> Path:
    """Returns the page's path: the file `out`, a file in the folder `out`, or a file named after the checkpoint."""
    if request.out is not None and request.out.suffix.lower() in (".html", ".htm"):
        if request.out.is_dir():
            raise UserError(f"out={request.out} is a folder; name a file, such as out=model.html")
        return request.out
    suffix = f"-step{request.about['step']}" if "step" in request.about else ""
    if request.out is None:
        folder = request.folder("page")
        return folder.with_name(f"{folder.name}.html")  # not with_suffix: a name such as nano-0.9 has a dot
    return request.folder("") / f"model{suffix}.html"


def page(request: ShowRequest, full_precision: bool = False, descriptions: Sequence[Description] | None = None) -> str:
    """Returns the HTML document.

    Args:
        request: the model, its tokenizer and a prompt; without a prompt, the page shows the first of the run's texts.
        full_precision: keeps all bits of the weights, even if rounding is harmless.
        descriptions: one `Description` per head; None uses the descriptions of the request.

    Raises:
        UserError: the page would be too large or empty, or the model's logits are not finite.
    """
    model, tokenizer, texts = request.model, request.tokenizer, request.probe_texts()
    _refuse_if_large(int(_size(model) * MIN_BYTES_PER_WEIGHT))  # checked before the slow steps
    with torch.inference_mode():
        finite(model(portable.random_ids(model)))  # otherwise `portable` would blame a part of the model
    if request.prompt or texts is None:
        text = prompt_ids(tokenizer, request.prompt)  # (T,)
    else:
        text = without_padding(texts[0], tokenizer.pad)
    prompt = text[None, context_start(len(text), model.block_size) :]
    small, precision = _smallest_copy(model, texts, prompt, full_precision)
    parts, refusal = None, ""
    try:
        parts = _parts(small, texts)
    except portable.NotPortable as reason:
        precision, refusal = "", str(reason)
    print(f"recorded maps only: {refusal}" if refusal else precision, file=sys.stderr)
    if descriptions is None:  # describing heads takes seconds, and only a page that runs the model shows them
        descriptions = [] if refusal else request.descriptions
    film = _film(request, prompt, runs=not refusal)
    if refusal and film is None:
        raise UserError(f"a page would have nothing to show: {refusal}, and the model has no heads; use show=next")
    description = {
        "model": parts,
        "vocabulary": _vocabulary(tokenizer),
        "text": text.tolist(),
        "heads": [_head(report, tokenizer.unit) for report in request.head_reports],
        "descriptions": _descriptions(descriptions, tokenizer, model.block_size) if parts and descriptions else None,
        "film": film.description() if film else None,
    }
    labels = {
        "title": str(request.about.get("name", request.checkpoint.stem)),
        "summary": _summary(request),
        "why": refusal,
        "precision": precision.capitalize(),
        "unit": tokenizer.unit,
    }
    document = model_page(labels, description, film.maps() if film else b"")
    _refuse_if_large(len(document.encode()))
    return document


def without_padding(text: Tensor, pad: int | None) -> Tensor:
    """Returns a text (T,) without the padding after its last token."""
    if pad is None:
        return text
    tokens = torch.nonzero(text != pad)
    return text[: int(tokens.max()) + 1] if len(tokens) else text


def _size(model: LanguageModel) -> int:
    return sum(p.numel() for p in model.parameters())


def _refuse_if_large(size: int) -> None:
    if size > LARGEST:
        raise UserError(
            f"the page of this model would be {size / 1e6:.0f} MB, and browsers are slow above"
            f" {LARGEST / 1e6:.0f} MB; use a checkpoint of a smaller model, such as model=nano or model=part4"
        )


def _smallest_copy(
    model: LanguageModel, texts: Tensor | None, prompt: Tensor, full_precision: bool
) -> tuple[LanguageModel, str]:
    """Returns a copy with float16 weights if rounding is harmless, else the model; and a sentence about the choice."""
    if full_precision:
        return model, "weights in float32: all bits are kept."
    found = measure_rounding(model, portable.random_ids(model) if texts is None else texts, prompt)
    effect = f"rounding to float16 changes a logit by at most {found.largest_change:.1g}"
    if found.is_harmless:
        return round_to_float16(model), f"weights in float16: {effect} and does not change the greedy text."
    return model, f"weights in float32: {effect}{'' if found.same_text else ' and changes the greedy text'}."


@torch.no_grad()
def _parts(model: LanguageModel, texts: Tensor | None) -> Any:
    """Returns the model's parts as arrays, with each head's mean output (L, H, D), which replaces an ablated head.

    As in `ablation.mean`, position 0 does not count in the mean. Texts of one token have no mean output.

    Raises NotPortable if the page cannot run the model.
    """
    parts = portable.describe(model)
    if isinstance(model, TransformerLM) and texts is not None and texts.shape[1] > 1:
        parts["means"] = look(model, texts, "z").z[..., 1:, :].mean((1, 3))
    return _arrays(parts)


def _arrays(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _arrays(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_arrays(value) for value in tree]
    return np.asarray(tree.detach().float().cpu().numpy()) if isinstance(tree, Tensor) else tree


def _film(request: ShowRequest, prompt: Tensor, runs: bool) -> Film | None:
    """Returns the run's film (attention maps recorded during training), if it exists and fits the model.

    Otherwise, a page that cannot run its model gets a film with one frame: the maps of the prompt.
    """
    model = request.model
    if not isinstance(model, TransformerLM):
        return None
    if request.film is not None and request.film.is_file():
        try:
            film = Film.from_bytes(request.film.read_bytes())
        except ValueError:
            print(f"{request.film} is damaged: the page has no maps from training", file=sys.stderr)
        else:
            if film.fits(model.n_layers, model.n_heads, model.vocab_size):  # otherwise it comes from another model
                return film
    if runs:
        return None
    ids = prompt[:, -LONGEST:]
    step = int(request.about.get("step", 0))
    return Film(ids[0].tolist(), [frame(step, look(model, ids, "maps").maps, role_labels(request.head_reports))])


def _vocabulary(tokenizer: "Tokenizer") -> dict[str, Any]:
    """Returns the data that the page needs to split text into tokens and to show tokens."""
    return {
        "unit": tokenizer.unit,
        "split_rule": tokenizer.split_rule,
        "shown": [*map(label, tokenizer.shown)],
        "opening": tokenizer.opening,
        "start": tokenizer.start,
        "end": tokenizer.end,
        **tokenizer.arguments,
    }


def _head(report: HeadReport, unit: str) -> dict[str, Any]:
    return {
        "layer": report.layer,
        "head": report.head,
        "role": report.role if report.evidence else "",
        "confirmed": report.confirmed,
        "cost": report.evidence.cost if report.evidence else 0.0,
        "sentence": sentences(report, unit),
    }


def _descriptions(descriptions: Sequence[Description], tokenizer: "Tokenizer", t: int) -> Any:
    """Returns what the page needs to show the descriptions, and to predict maps of T positions from their rules."""
    vocabulary = Vocabulary(tokenizer.shown)
    return _arrays({"shared": shared_data(vocabulary, t), "heads": [_description(d) for d in descriptions]})


def _description(d: Description) -> dict[str, Any]:
    """Returns one description. A number that is missing or not finite is None, because JSON cannot hold others."""

    def finite_or_none(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: finite_or_none(x) for key, x in part.items()}
        if isinstance(part, Estimate):
            return {"value": finite_or_none(part.value), "error": finite_or_none(part.error)}
        return None if part is None or not math.isfinite(part) else part

    numbers = {"cost": d.cost, "recovered": d.recovered, "full": d.full, "parts": d.parts, "full_parts": d.full_parts}
    who = {"layer": d.layer, "head": d.head, "sentence": d.sentence}
    return {**who, **finite_or_none(numbers), "rule": rule_data(d.rule)}


def _summary(request: ShowRequest) -> str:
    """Returns one line with the size of the model, its training data and its step."""
    model, heads = request.model, ""
    if isinstance(model, TransformerLM):
        counts = ((model.n_layers, "layer"), (model.n_heads, "head"))
        heads = " of ".join(f"{n} {noun}{'s' * (n != 1)}" for n, noun in counts) + ", "
    name = request.about.get("data", {}).get("name", "an unnamed text")
    return f"{heads}{_size(model):,} parameters, trained on {name}, {request.label}"
