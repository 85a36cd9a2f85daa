"""model: one head of a trained model. Shapes: T positions, C = d_model, D head width, V tokens, L layers, H heads."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from headscope import checkpoint as checkpoints
from headscope.errors import UserError
from headscope.generation.sampling import finite
from headscope.heads import look
from headscope.heads.ablation import Ablation, ablate, mean, zero
from headscope.heads.attribution import attribute
from headscope.heads.capture import Replace, heads_at, output_matrices
from headscope.heads.flow import views
from headscope.heads.sentences import sentences
from headscope.model.transformer import Block, TransformerLM
from headscope.render.labels import label
from headscope.run.newest import newest, newest_in_errors
from headscope.show import heads as show_heads
from headscope.show.attribution import largest
from headscope.show.page import target
from headscope.show.request import ShowRequest
from headscope.walkthrough.matrix import Matrix, Numbers
from headscope.walkthrough.plain import QKV, hide_later, mix, weigh
from headscope.walkthrough.walk import Walk

RUNS = Path("outputs")
SHORTEST, LONGEST = 5, 8  #: tokens in the text that the walk chooses: few enough for a readable attention pattern
TOP = 6  #: number of likely next tokens to show
PARTS = 9  #: number of model parts in the table of contributions to a logit
Head = tuple[int, int]  #: layer and head, both counted from 0
P = Tensor  #: probabilities, (V,)


def embed(model: TransformerLM, ids: Tensor) -> Tensor:
    return model.embed(ids[None])[0]  # (T, C)


def project(model: TransformerLM, ids: Tensor, at: Head) -> QKV:
    cache = look(model, ids[None], "queries", "keys", "values")
    index = (at[0], 0, at[1])  # into (L, 1, H, T, D), after RoPE
    return cache.queries[index], cache.keys[index], cache.values[index]


def score(block: Block, x: Tensor, q: Tensor, k: Tensor, h: int) -> Tensor:
    attention = block.attention
    scores = q @ k.T * attention.position.scale  # (T, T)
    _, keys, _ = attention.heads(block.norm1(x[None]))
    _, bias = attention.score_inputs(keys)  # None for most schemes
    if bias is not None:
        scores = scores + bias.expand(1, attention.n_heads, -1, -1)[0, h]
    return hide_later(scores)


def write(model: TransformerLM, z: Tensor, at: Head) -> Tensor:
    out = model.layers()[at[0]].attention.out.weight
    return z @ output_matrices(out, model.n_heads)[at[1]]  # (T, C)


def push(model: TransformerLM, ids: Tensor, to: Tensor, at: Head) -> Tensor:
    found = attribute(model, ids.expand(len(to), -1), to)
    return found.heads[at[0], :, at[1]]  # added to the logit of each token


def predict(model: TransformerLM, ids: Tensor, *edits: Replace) -> P:
    logits = look(model, ids[None], edits=edits).logits[0, -1]
    return finite(logits).double().softmax(-1)  # (V,)


def remove(model: TransformerLM, ids: Tensor, at: Head, by: Ablation) -> P:
    z = look(model, ids[None], "z").z  # (L, 1, H, T, D)
    edit = Replace("z", by(z), heads_at(model, at))
    return predict(model, ids, edit)  # (V,)


def compute(
    seed: int | None = None,
    *,
    checkpoint: str = "",  # default: the best checkpoint of the newest run in `outputs`
    prompt: str = "",  # default: a text from the checkpoint, cut where a head has a large effect
    head: str = "",  # default: the head whose removal changes the next token's probability most
    instead: Literal["zero", "mean"] = "zero",
) -> Numbers:
    """Walks through one head of a checkpoint. Nothing is random, so the seed has no effect.

    Raises `UserError` if there is no checkpoint, the head is unknown, the prompt has fewer than two tokens, or there is
    no prompt and the texts in the checkpoint have fewer than three.
    """
    path = checkpoints.find(checkpoint) if checkpoint else newest(RUNS)
    if path is None:
        hint = "create one with make train, or name a checkpoint: --set checkpoint=…"
        raise UserError(f"no run in {RUNS}/ has a checkpoint; {hint}")
    with newest_in_errors(None if checkpoint else path):
        request, ids, reports = _open(path, prompt, path.stat().st_mtime if path.is_file() else 0.0)
        at = layer, index = _find_head(request.transformer(), ids, head)
    model, about, text = request.transformer(), request.about, [label(request.tokenizer.show(i)) for i in ids.tolist()]
    next_head = divmod((layer * model.n_heads + index + 1) % (model.n_layers * model.n_heads), model.n_heads)
    set_head = "head=L{}H{}".format(*next_head) if next_head != at else ""
    run, data = about.get("name", path.stem), about.get("data", {}).get("name", "an unnamed text")
    numbers = Numbers(run=run, data=data, when=request.label, path=str(path), unit=request.tokenizer.unit)
    numbers.page = page if (page := target(request)).is_file() else None
    numbers.update(head=f"L{layer}H{index}", layer=layer, index=index, layers=model.n_layers, heads=model.n_heads)
    numbers.update(report=reports.get(at, ""), set_head=set_head, other_report=reports.get(next_head, ""))
    numbers.update(is_first=layer == 0, adds_position=model.position.table() is not None)
    numbers.update(text="".join(text), last=text[-1], length=len(text), is_zero=instead == "zero")
    numbers.add(("ids", "ids", ids[None]), rows=("id",), columns=text, kind="table", shape=f"({len(text)},)")
    numbers.add(("embeddings", "x", embed(model, ids)), rows=text)
    resid = look(model, ids[None], "resid").resid[layer, 0]  # (T, C)
    numbers["stream"] = Matrix(f"stream before layer {layer}", "x", resid, text, is_view=layer == 0)
    q, k, v = project(model, ids, at)
    numbers.add(("queries", "Q", q), ("keys", "K", k), ("values", "V", v), rows=text)
    scores = score(model.layers()[layer], resid, q, k, index)
    weights = weigh(scores)  # (T, T)
    numbers.add(("scores", "S", scores), rows=text, columns=text)
    numbers.add(("weights", "A", weights), rows=text, columns=text, kind="weights")
    z = mix(weights, v)[-1:]  # (1, D)
    written = write(model, z, at)  # (1, C)
    numbers.add(("head output", "y", z), ("written", "w", written), rows=text[-1:])
    moved = views(model, ids[None]).moved[layer, 0, index, -1]  # (T,)
    best, most = int(weights[-1].argmax()), int(moved.argmax())
    numbers.update(best=best, best_label=text[best], back=len(text) - 1 - best, is_same=best == most)
    numbers.update(most=most, most_label=text[most], moved=moved[most], width=resid.shape[1], head_width=v.shape[1])
    numbers.update(length_written=written.norm(), length_stream=resid[-1].norm())
    _add_prediction(numbers, request, ids, at, zero if instead == "zero" else mean)
    return numbers


def _add_prediction(numbers: Numbers, request: ShowRequest, ids: Tensor, at: Head, by: Ablation) -> None:
    """Adds the most likely next tokens, their logits, and their probabilities with and without the head."""
    model, name = request.transformer(), f"L{at[0]}H{at[1]}"
    p, p_without = predict(model, ids), remove(model, ids, at, by)  # (V,) each
    top = p.topk(min(TOP, len(p))).indices
    tokens = [label(request.tokenizer.show(i)) for i in top.tolist()]
    logits = look(model, ids[None]).logits[0, -1][top]
    added = push(model, ids, top, at)  # by this head, to each of these logits
    pair, shape = torch.stack((logits.double(), added), -1), f"({len(p)},), only the most likely"
    numbers.add(("next", "z", pair), rows=tokens, columns=("logit", f"from {name}"), shape=shape)
    found = attribute(model, ids[None], top[:1])
    rows = [*largest([(part, x, 0.0) for part, x in found.named()], PARTS), ("logit", float(found.logit), 0.0)]
    parts, adds, _ = zip(*rows, strict=True)
    notes, title = ["this head" * (part == name) for part in parts], f"contributions to the logit of “{tokens[0]}”"
    numbers["contributions"] = Matrix(title, "Σ", torch.tensor(adds)[:, None], parts, ("adds",), notes=notes)
    pair, shape = torch.stack((p[top], p_without[top]), -1), f"({len(p)},) each, only the most likely"
    numbers.add(("probabilities", "P", pair), rows=tokens, columns=("with", "without"), kind="weights", shape=shape)
    numbers.update(first=tokens[0], vocabulary=len(p), change=float(p_without[top[0]].log() - p[top[0]].log()))


@lru_cache(maxsize=8)  # every suggested change runs the walk with the same model
def _open(path: Path, prompt: str, modified: float) -> tuple[ShowRequest, Tensor, dict[Head, str]]:
    """Returns a request with the model, the ids (T,) of the text, and sentences about each head.

    `modified` is the time when the file last changed. A changed file has no cached result, so it is loaded again.
    """
    model, tokenizer, about = checkpoints.load(path)
    request = ShowRequest(model, tokenizer, prompt, path, about)
    ids = request.context()[0] if prompt else _choose_text(request)
    if len(ids) < 2:
        raise UserError(f"--set prompt={prompt}: the text has only 1 {tokenizer.unit}; use at least two")
    try:
        reports = show_heads.reports(request)
    except UserError:  # the texts in the checkpoint are too short
        reports = []
    return request, ids, {(r.layer, r.head): sentences(r, tokenizer.unit) for r in reports}


@torch.no_grad()
def _choose_text(request: ShowRequest) -> Tensor:
    """Returns the start (T,) of a text, cut before a correctly predicted token that depends strongly on one head.

    Raises `UserError` if the texts have fewer than three tokens.
    """
    model, kept = request.transformer(), request.about.get("passages")
    texts = (torch.tensor(kept) if kept else show_heads.passages(request))[:, : LONGEST + 1]  # (B, T)
    if texts.shape[1] < 3:
        hint = "give a longer text: --set prompt=…"
        raise UserError(f"{request.checkpoint} contains only texts of {texts.shape[1]} tokens; {hint}")
    right = look(model, texts).logits[:, :-1].argmax(-1) == texts[:, 1:]  # (B, T - 1)
    right[:, : min(SHORTEST, texts.shape[1] - 1) - 1] = False
    heads = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    rises = torch.stack([ablate(model, texts, [at], zero) for at in heads]).amax(0)  # (B, T - 1)
    row, end = divmod(int(torch.where(right, rises, -torch.inf).argmax()), rises.shape[1])
    return texts[row, : end + 1] if right.any() else texts[0, :-1]


def _find_head(model: TransformerLM, ids: Tensor, name: str) -> Head:
    """Returns the named head; for "", the head whose removal changes the most likely token's probability most.

    Raises `UserError` if the model has no head of this name.
    """
    names = {f"L{i}H{j}": (i, j) for i in range(model.n_layers) for j in range(model.n_heads)}
    if name.upper() in names:
        return names[name.upper()]
    if name:
        raise UserError(f"--set head={name}: the model has no such head; its heads are {' '.join(names)}")
    p, first = predict(model, ids).max(-1)
    return max(names.values(), key=lambda at: abs(float(remove(model, ids, at, zero)[first] - p)))


WALK = Walk("model", "one head of your own model, from the text to the head's effect on the next token", None, compute)
