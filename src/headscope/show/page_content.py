"""The content of the page of `show=page` apart from the model: vocabulary, head descriptions, film and summary.

Shapes: B texts, T positions.
"""

import sys
from typing import Any

import torch
from torch import Tensor

from headscope.generation.text import prompt_ids
from headscope.heads import film as films
from headscope.heads import look, table
from headscope.heads.film import Film
from headscope.heads.reports import SHORTEST, HeadReport
from headscope.heads.sentences import sentences
from headscope.model.transformer import TransformerLM
from headscope.render.labels import label
from headscope.show import heads as described
from headscope.show.request import ShowRequest


def opening_text(request: ShowRequest) -> Tensor:
    """Returns the text that the page shows first, ids (1, T): the prompt, or else the first of the run's texts."""
    texts = request.probe_texts()
    return request.context() if request.prompt or texts is None else without_padding(texts[:1], request.tokenizer.pad)


def without_padding(text: Tensor, pad: int | None) -> Tensor:
    """Returns a text (1, T) without the padding after its last token."""
    if pad is None:
        return text
    tokens = torch.nonzero(text[0] != pad)
    return text[:, : int(tokens.max()) + 1] if len(tokens) else text


def head_reports(request: ShowRequest) -> list[HeadReport]:
    """Returns a report on every head; none if the model has no heads or the file has no text to describe them on."""
    texts = request.probe_texts()
    if not isinstance(request.model, TransformerLM) or texts is None or texts.shape[1] < SHORTEST:
        return []
    return described.reports(request)


def film_of(request: ShowRequest, prompt: Tensor, reports: list[HeadReport], runs: bool) -> Film | None:
    """Returns the film of the run's training, if there is one that fits the model.

    A page that cannot run its model gets a film of one frame instead: the maps of the prompt.
    """
    model = request.model
    if not isinstance(model, TransformerLM):
        return None
    if request.film is not None and request.film.is_file():
        try:
            kept = Film.from_bytes(request.film.read_bytes())
        except ValueError:
            print(f"{request.film} is damaged: the page has no maps from the training", file=sys.stderr)
        else:
            if kept.fits(model.n_layers, model.n_heads, model.vocab_size):  # otherwise it is the film of another model
                return kept
    if runs:
        return None
    ids = prompt[:1, -films.LONGEST :]
    step = int(request.about.get("step", 0))
    return Film(ids[0].tolist(), [films.frame(step, look(model, ids, "maps").maps, table.titles(reports))])


def content(request: ShowRequest, prompt: Tensor, reports: list[HeadReport], film: Film | None) -> dict[str, Any]:
    """Returns the data of the page apart from the model, plain data."""
    tokenizer = request.tokenizer
    return {
        "vocabulary": vocabulary(request),
        "text": (prompt_ids(tokenizer, request.prompt) if request.prompt else prompt[0]).tolist(),
        "heads": [_head(report, tokenizer.unit) for report in reports],
        "film": film.description() if film else None,
    }


def vocabulary(request: ShowRequest) -> dict[str, Any]:
    """Returns what the page needs to split text into tokens and to show tokens, plain data."""
    tokenizer = request.tokenizer
    return {
        "unit": tokenizer.unit,
        "split_rule": tokenizer.split_rule,
        "shown": [label(tokenizer.show(i)) for i in range(len(tokenizer))],
        "opening": tokenizer.opening,
        "start": tokenizer.start,
        "end": tokenizer.end,
        **tokenizer.arguments,
    }


def _head(report: HeadReport, unit: str) -> dict[str, Any]:
    return {
        "layer": report.layer,
        "head": report.head,
        "role": "" if report.evidence is None else report.role,
        "confirmed": report.confirmed,
        "cost": report.evidence.cost if report.evidence else 0.0,
        "sentence": sentences(report, unit),
    }


def summary(request: ShowRequest) -> str:
    """Returns one line about the model: its size, its text and its step."""
    model = request.model
    heads = ""
    if isinstance(model, TransformerLM):
        heads = f"{_count(model.n_layers, 'layer')} of {_count(model.n_heads, 'head')}, "
    size = sum(p.numel() for p in model.parameters())
    name = request.about.get("data", {}).get("name", "an unnamed text")
    return f"{heads}{size:,} parameters, trained on {name}, {request.when}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"
