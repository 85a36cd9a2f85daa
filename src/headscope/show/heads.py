"""`show=heads`: what every head does, with the evidence, as tables and pictures.

Shapes: B texts, T positions, H heads, L layers.
"""

import sys

import numpy as np
import torch
from torch import Tensor

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.generation.decode import decode
from headscope.generation.sampling import Sampling
from headscope.heads import describe, look, repeated_probe, table
from headscope.heads.circuits import ov_circuit, qk_circuit, strongest
from headscope.heads.reports import SHORTEST, HeadReport
from headscope.heads.scores import distance_profile
from headscope.model.transformer import TransformerLM
from headscope.render.grid import SCORES, scores_picture
from headscope.render.labels import label
from headscope.render.pictures import png
from headscope.show.request import ShowRequest

TEXTS, LONGEST = 8, 64  #: passages, and tokens of each
MOST = 3  #: tokens, pairs and distances that are named for a head


def passages(request: ShowRequest) -> Tensor:
    """The texts to look at heads on, (B, T): those that the checkpoint keeps, or what its model writes.

    Raises:
        UserError: they are too short to tell what a head does.
    """
    kept = request.about.get("passages")
    text = torch.tensor(kept) if kept else _written(request)
    if text.shape[1] < SHORTEST:
        raise UserError(f"texts of {text.shape[1]} tokens do not show what a head does; it takes {SHORTEST} or more")
    return text


def _written(request: ShowRequest) -> Tensor:
    print("the checkpoint keeps no validation text: the heads are described on what its model writes", file=sys.stderr)
    length = min(LONGEST, request.model.block_size)
    start = torch.full((TEXTS, 1), request.tokenizer.opening)
    generators = [torch.Generator().manual_seed(seed) for seed in range(TEXTS)]
    drawn = decode(request.transformer(), start, length - 1, Sampling(1.0), generators)
    return torch.cat((start, torch.tensor([*drawn]).T), 1)


def reports(request: ShowRequest) -> list[HeadReport]:
    """A report on every head; see `headscope.heads.reports`. Raises `UserError` as `passages` does."""
    text = passages(request)
    repeated = repeated_probe(len(request.tokenizer), min(LONGEST, request.model.block_size), TEXTS)
    return describe(request.transformer(), text, repeated)


def roles(request: ShowRequest) -> dict[tuple[int, int], str]:
    """What to write beside each head's name; empty where the checkpoint keeps no text to find out."""
    if len((request.about.get("passages") or [[]])[0]) < SHORTEST:
        return {}
    return table.titles(reports(request))


def habits(model: TransformerLM, text: Tensor, names: list[str]) -> list[str]:
    """A line for each head: tokens that it copies, pairs that it likes to match, distances that it likes.

    Args:
        model: whose heads they are.
        text: ids (B, T).
        names: of all tokens, by id.
    """
    tokens = torch.tensor(sorted(set(text.flatten().tolist())))
    profile = distance_profile(look(model, text, "maps").maps)  # (L, H, T)
    lines = []
    for layer in range(model.n_layers):
        ov, qk = ov_circuit(model, layer, tokens), qk_circuit(model, layer, tokens)  # (H, N, V), (H, N, N)
        for head in range(model.n_heads):
            own = ov[head].gather(1, tokens[:, None]).squeeze(1) - ov[head].mean(1)  # (N,)
            copied = [names[tokens[i]] for i in own.topk(min(MOST, len(tokens))).indices.tolist() if own[i] > 0]
            pairs = [f"{names[tokens[q]]} → {names[tokens[k]]}" for q, k, _ in strongest(qk[head], MOST)]
            best = profile[layer, head].topk(min(MOST, profile.shape[-1]))
            far = [f"{d} ({w:.2f})" for w, d in zip(best.values.tolist(), best.indices.tolist(), strict=True)]
            said = f"copies {' '.join(copied) or 'nothing'}; matches {', '.join(pairs)}; distances {', '.join(far)}"
            lines.append(f"L{layer}H{head}  {said}")
    return lines


def show(request: ShowRequest) -> None:
    """Tables on standard output; `heads.csv` and a picture of each score beside the checkpoint, or in `out`.

    Raises:
        UserError: the model has no heads, or its texts are too short; the folder cannot be used.
    """
    model, folder, text = request.transformer(), request.folder("heads"), passages(request)
    found = reports(request)
    print(table.as_text(found))
    print("\nby their weights alone (position left out), and by their maps:")
    names = [label(request.tokenizer.show(i)) for i in range(len(request.tokenizer))]
    print("\n".join(habits(model, text, names)))
    write_atomically(folder / "heads.csv", table.to_csv(table.rows(found, request.about.get("step", 0))).encode())
    for score, said in SCORES.items():
        values = np.array([r.scores[score] for r in found]).reshape(model.n_layers, model.n_heads)
        picture = scores_picture(values, f"{request.when}: {score.replace('_', ' ')}", said)
        write_atomically(folder / f"{score}.png", png(picture))
    print(f"\nheads.csv and {len(SCORES)} pictures:", file=sys.stderr)
    print(folder)
