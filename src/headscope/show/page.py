"""`show=page`: one HTML file that contains the model and runs it while you type.

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
from headscope.heads import look
from headscope.model.transformer import LanguageModel, TransformerLM
from headscope.portable import describe, random_ids, refusal
from headscope.render.model_page import model_page
from headscope.show import page_content
from headscope.show.request import ShowRequest

LARGEST = 25_000_000  #: bytes; larger pages are hard to send and slow to open
LEAST = 2.2  #: the least number of bytes per weight in a page: 16 bits, compressed, as text


def show(request: ShowRequest) -> None:
    """Writes the page and prints its path on standard output.

    Raises:
        UserError: the page would be too large; the file cannot be written.
    """
    path = target(request)
    write_atomically(path, page(request).encode())
    print(f"{path.stat().st_size / 1e6:.1f} MB, opens in any browser and needs no network:", file=sys.stderr)
    print(path)


def target(request: ShowRequest) -> Path:
    """Returns the path of the page: `out`, a file in the folder `out`, or a file next to the checkpoint that names it.

    Raises:
        UserError: `out` cannot be used.
    """
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
    """Returns the HTML document.

    Args:
        request: model, tokenizer and first text.
        whole: keeps all bits of the weights, even if rounding them is harmless.

    Raises:
        UserError: the page would be too large or empty, or the model's logits are not finite.
    """
    weights = sum(p.numel() for p in request.model.parameters())
    _refuse_if_large(int(weights * LEAST))  # checked before the slow steps
    with torch.inference_mode():
        finite(request.model(random_ids(request.model)))  # else its parts would be blamed
    why = refusal(request.model)
    texts, prompt = request.probe_texts(), page_content.opening_text(request)
    model, precision = request.model, ""
    if not why:
        model, precision = _as_small_as_possible(model, random_ids(model) if texts is None else texts, prompt, whole)
    print(f"recorded maps only: {why}" if why else precision, file=sys.stderr)
    reports = page_content.head_reports(request)
    film = page_content.film_of(request, prompt, reports, runs=not why)
    if why and film is None:
        raise UserError(f"a page would have nothing to show: {why}, and it has no heads; use show=next")
    content = page_content.content(request, prompt, reports, film)
    labels = {
        "title": str(request.about.get("name", request.checkpoint.stem)),
        "summary": page_content.summary(request),
        "why": why,
        "precision": precision.capitalize(),
        "unit": request.tokenizer.unit,
    }
    parts = None if why else _arrays(_parts(model, texts))
    document = model_page(labels, {"model": parts} | content, film.maps() if film else b"")
    _refuse_if_large(len(document.encode()))
    return document


def _refuse_if_large(size: int) -> None:
    if size > LARGEST:
        raise UserError(
            f"the page of this model would have {size / 1e6:.0f} MB, and browsers are slow above"
            f" {LARGEST / 1e6:.0f} MB; give the checkpoint of a smaller model, such as model=nano or model=part4"
        )


def _as_small_as_possible(
    model: LanguageModel, texts: Tensor, prompt: Tensor, whole: bool
) -> tuple[LanguageModel, str]:
    """Returns a copy with float16 weights if rounding is harmless, otherwise the model; and a sentence about it."""
    if whole:
        return model, "weights in float32: all bits are kept."
    found = measure_rounding(model, texts, prompt)
    moves = f"rounding to float16 moves a logit by {found.largest_change:.1g} at most"
    if found.is_harmless:
        return round_to_float16(model), f"weights in float16: {moves} and leaves the greedy text as it is."
    return model, f"weights in float32: {moves}{'' if found.same_text else ' and changes the greedy text'}."


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
