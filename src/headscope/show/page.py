"""`show=page`: one HTML file that holds the model and runs it as you type.

Shapes: B texts, T positions, L layers, H heads, D = C / H.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.generation.rounded import measure_rounding, round_to_float16
from headscope.generation.sampling import finite
from headscope.generation.text import prompt_ids
from headscope.heads import film as films
from headscope.heads import look, table
from headscope.heads.film import Film
from headscope.heads.reports import SHORTEST, HeadReport
from headscope.heads.sentences import sentences
from headscope.model.transformer import LanguageModel, TransformerLM
from headscope.portable import describe, random_ids, refusal
from headscope.render.labels import label
from headscope.render.model_page import model_page
from headscope.show import heads as described
from headscope.show.request import ShowRequest

LARGEST = 25_000_000  #: bytes of a page that people can still send and open
LEAST = 2.2  #: bytes of a page for each weight, at least: 16 bits, packed, as text


def show(request: ShowRequest) -> None:
    """Writes the page, and prints its path on standard output.

    Raises:
        UserError: the page would be too large; the file cannot be written.
    """
    path = target(request)
    write_atomically(path, page(request).encode())
    print(f"{path.stat().st_size / 1e6:.1f} MB, opens in any browser, without a network:", file=sys.stderr)
    print(path)


def target(request: ShowRequest) -> Path:
    """The file: `out`, or one in the folder `out`, or beside the checkpoint one that names it and its step."""
    if request.out is not None and request.out.suffix.lower() in (".html", ".htm"):
        if request.out.is_dir():
            raise UserError(f"out={request.out} is a folder; give a file, such as out=model.html")
        return request.out
    at = f"-step{request.about['step']}" if "step" in request.about else ""
    if request.out is None:
        folder = request.folder("page")
        return folder.with_name(f"{folder.name}.html")  # a checkpoint's name may hold a dot: nano-0.9
    return request.folder("") / f"model{at}.html"


def page(request: ShowRequest, whole: bool = False) -> str:
    """The document.

    Args:
        request: model, tokenizer, and the text to begin with.
        whole: keeps every bit of the weights, whatever rounding would do.

    Raises:
        UserError: it would be too large, or empty; the model's logits are not finite.
    """
    weights = sum(p.numel() for p in request.model.parameters())
    _refuse_if_large(int(weights * LEAST))  # before minutes are spent on it
    with torch.inference_mode():
        finite(request.model(random_ids(request.model)))  # else its parts would be blamed
    why = refusal(request.model)
    kept = _passages(request)
    prompt = request.context() if request.prompt or kept is None else _unpadded(kept[:1], request.tokenizer.pad)
    texts = random_ids(request.model) if kept is None else kept
    model, precision = (request.model, "") if why else _as_small_as_possible(request.model, texts, prompt, whole)
    print(f"recorded maps only: {why}" if why else precision, file=sys.stderr)
    reports = _reports(request)
    film = _film(request, prompt, reports, runs=not why)
    if why and film is None:
        raise UserError(f"a page would have nothing to show: {why}, and it has no heads; use show=next")
    content = {
        "model": None if why else _arrays(_parts(model, kept)),
        "vocabulary": _vocabulary(request),
        "text": (prompt_ids(request.tokenizer, request.prompt) if request.prompt else prompt[0]).tolist(),
        "heads": [_head(report, request.tokenizer.unit) for report in reports],
        "film": film.description() if film else None,
    }
    said = {
        "title": str(request.about.get("name", request.checkpoint.stem)),
        "summary": _summary(request),
        "why": why,
        "precision": precision.capitalize(),
        "unit": request.tokenizer.unit,
    }
    document = model_page(said, content, film.maps() if film else b"")
    _refuse_if_large(len(document.encode()))
    return document


def _unpadded(text: Tensor, pad: int | None) -> Tensor:
    """A text (1, T) without what fills it up behind its last token."""
    if pad is None:
        return text
    tokens = torch.nonzero(text[0] != pad)
    return text[:, : int(tokens.max()) + 1] if len(tokens) else text


def _refuse_if_large(size: int) -> None:
    if size > LARGEST:
        raise UserError(
            f"the page of this model would have {size / 1e6:.0f} MB, and {LARGEST / 1e6:.0f} MB is the most that a"
            " browser opens well; give the checkpoint of a smaller model, such as one of model=nano or model=part4"
        )


def _as_small_as_possible(
    model: LanguageModel, texts: Tensor, prompt: Tensor, whole: bool
) -> tuple[LanguageModel, str]:
    """A model with weights that half the bits can hold, if that is harmless, else the model; and what is said of it."""
    if whole:
        return model, "weights in float32: every bit is kept."
    found = measure_rounding(model, texts, prompt)
    moves = f"rounding to float16 moves a logit by {found.largest_change:.1g} at most"
    if found.is_harmless:
        return round_to_float16(model), f"weights in float16: {moves} and leaves the greedy text as it is."
    return model, f"weights in float32: {moves}{'' if found.same_text else ' and changes the greedy text'}."


def _vocabulary(request: ShowRequest) -> dict[str, Any]:
    tokenizer = request.tokenizer
    return {
        "unit": tokenizer.unit,
        "shown": [label(tokenizer.show(i)) for i in range(len(tokenizer))],
        "opening": tokenizer.opening,
        "start": tokenizer.start,
        "end": tokenizer.end,
        **tokenizer.arguments,
    }


def _head(report: HeadReport, unit: str) -> dict[str, Any]:
    role = "" if report.role == "none" else report.role
    return {
        "layer": report.layer,
        "head": report.head,
        "role": role,
        "confirmed": report.confirmed,
        "cost": report.evidence.cost if report.evidence else 0.0,
        "description": sentences(report, unit),
    }


def _summary(request: ShowRequest) -> str:
    model = request.model
    heads = ""
    if isinstance(model, TransformerLM):
        heads = f"{_count(model.n_layers, 'layer')} of {_count(model.n_heads, 'head')}, "
    size = sum(p.numel() for p in model.parameters())
    name = request.about.get("data", {}).get("name", "an unnamed text")
    return f"{heads}{size:,} parameters, trained on {name}, {request.when}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _passages(request: ShowRequest) -> Tensor | None:
    """Ids (B, T) of the validation texts that the checkpoint keeps."""
    kept = request.about.get("passages")
    return torch.tensor(kept)[:, : request.model.block_size] if kept else None


def _reports(request: ShowRequest) -> list[HeadReport]:
    kept = _passages(request)
    if not isinstance(request.model, TransformerLM) or kept is None or kept.shape[1] < SHORTEST:
        return []
    return described.reports(request)


def _film(request: ShowRequest, prompt: Tensor, reports: list[HeadReport], runs: bool) -> Film | None:
    """What the run kept of its training; for a model that the page cannot run at least the maps of the prompt."""
    model = request.model
    if not isinstance(model, TransformerLM):
        return None
    if request.film is not None and request.film.is_file():
        try:
            kept = Film.from_bytes(request.film.read_bytes())
        except ValueError:
            print(f"{request.film} is damaged: the page goes without maps over the training", file=sys.stderr)
        else:
            if kept.fits(model.n_layers, model.n_heads, model.vocab_size):  # else it is beside it by chance
                return kept
    if runs:
        return None
    ids = prompt[:1, -films.LONGEST :]
    maps = look(model, ids, "maps").maps
    return films.of(ids[0].tolist(), maps, table.titles(reports), int(request.about.get("step", 0)))


@torch.no_grad()
def _parts(model: LanguageModel, texts: Tensor | None) -> dict[str, Any]:
    """What a model is made of, and what each head puts out on average (L, H, D), which can take the head's place."""
    parts = describe(model)
    if isinstance(model, TransformerLM) and texts is not None:
        parts["means"] = look(model, texts, "z").z.mean((1, 3))
    return parts


def _arrays(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _arrays(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_arrays(value) for value in tree]
    return np.asarray(tree.detach().float().cpu().numpy()) if isinstance(tree, Tensor) else tree
