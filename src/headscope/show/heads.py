"""`show=heads`: what every head does, with the evidence, as tables and pictures.

Shapes: B texts, T positions, H heads, L layers.
"""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.generation.decode import decode
from headscope.generation.sampling import Sampling
from headscope.heads import describe, look, table
from headscope.heads.circuits import ov_circuit, qk_circuit, strongest
from headscope.heads.descriptions import Description
from headscope.heads.probes import LONGEST, TEXTS
from headscope.heads.reports import SHORTEST, HeadReport
from headscope.heads.roles import ROLE_RULES
from headscope.heads.scores import distance_profile
from headscope.model.transformer import TransformerLM
from headscope.render.colours import RGB
from headscope.render.figures import pixels
from headscope.render.grid import scores_picture
from headscope.render.labels import label
from headscope.render.pictures import png
from headscope.render.shares import shares
from headscope.show.request import ShowRequest

LISTED = 3  #: how many tokens, pairs and distances are listed for each head


def passages(request: ShowRequest) -> Tensor:
    """Returns the texts on which heads are described, ids (B, T): the run's texts, or else texts from the model.

    Raises `UserError` if the texts are too short.
    """
    text = request.probe_texts()
    if text is None:
        print("the checkpoint has no validation text; heads are described on generated text", file=sys.stderr)
        start = torch.full((TEXTS, 1), request.tokenizer.opening)
        generators = [torch.Generator().manual_seed(seed) for seed in range(TEXTS)]
        length = min(LONGEST, request.model.block_size) - 1
        drawn = decode(request.transformer(), start, length, Sampling(1.0), generators)
        text = torch.cat((start, torch.tensor([*drawn]).T), 1)
    if text.shape[1] < SHORTEST:
        raise UserError(
            f"texts of {text.shape[1]} tokens are too short to describe heads; at least {SHORTEST} tokens are needed"
        )
    return text


def reports(request: ShowRequest) -> list[HeadReport]:
    """Returns a report on every head. Raises `UserError` if the model has no heads or the texts are too short."""
    return describe(request.transformer(), passages(request), special=request.tokenizer.special)


def score_pictures(found: Sequence[HeadReport], prefix: str) -> dict[str, RGB]:
    """Draws one picture of all heads for each score that can give a role. The keys are the names of the scores.

    Each title begins with `prefix`, such as "step 200".
    """
    shape = found[-1].layer + 1, found[-1].head + 1
    pictures = {}
    for rule in ROLE_RULES.values():
        values = np.array([report.scores[rule.score] for report in found]).reshape(shape)  # (L, H)
        pictures[rule.score] = scores_picture(values, f"{prefix}: {rule.score.replace('_', ' ')}", rule.caption)
    return pictures


def parts_figure(descriptions: Sequence[Description]) -> Figure:
    """Draws what the readable rules recover of each head's cost, for the heads whose cost is above the noise."""
    clear = [d for d in descriptions if d.matters]
    return shares([d.name for d in clear], [d.parts for d in clear], "What explains each head's contribution")


def describe_habits(model: TransformerLM, text: Tensor, names: list[str]) -> list[str]:
    """Returns one line per head: tokens that it copies, pairs that it matches, and distances that it prefers.

    `text` is ids (B, T), and `names` has a label for every token of the vocabulary.
    """
    tokens = torch.tensor(sorted(set(text.flatten().tolist())))
    profile = distance_profile(look(model, text, "maps").maps)  # (L, H, T)
    lines = []
    for layer in range(model.n_layers):
        ov, qk = ov_circuit(model, layer, tokens), qk_circuit(model, layer, tokens)  # (H, N, V), (H, N, N)
        for head in range(model.n_heads):
            own = ov[head].gather(1, tokens[:, None]).squeeze(1) - ov[head].mean(1)  # (N,)
            copied = [names[tokens[i]] for i in own.topk(min(LISTED, len(tokens))).indices.tolist() if own[i] > 0]
            pairs = [f"{names[tokens[q]]} → {names[tokens[k]]}" for q, k, _ in strongest(qk[head], LISTED)]
            best = profile[layer, head].topk(min(LISTED, profile.shape[-1]))
            far = [f"{d} ({w:.2f})" for w, d in zip(best.values.tolist(), best.indices.tolist(), strict=True)]
            habit = f"copies {' '.join(copied) or 'nothing'}; matches {', '.join(pairs)}; distances {', '.join(far)}"
            lines.append(f"L{layer}H{head}  {habit}")
    return lines


def show(request: ShowRequest) -> None:
    """Prints tables on standard output; writes `heads.csv` and score pictures next to the checkpoint, or into `out`."""
    model, folder, text = request.transformer(), request.folder("heads"), passages(request)
    request.require_finite(look(model, text, "maps").maps, "its attention")
    found = describe(model, text, special=request.tokenizer.special)
    print(table.as_text(found))
    if request.descriptions:
        print("", *(d.sentence for d in request.descriptions), sep="\n")
    print("\ncopies and matches are from the weights (without positions), distances from the attention maps:")
    names = [*map(label, request.tokenizer.shown)]
    print("\n".join(describe_habits(model, text, names)))
    write_atomically(
        folder / "heads.csv",
        table.to_csv(table.rows(found, request.about.get("step", 0), request.descriptions)).encode(),
    )
    pictures = score_pictures(found, request.label)
    if any(d.matters for d in request.descriptions):
        pictures["descriptions"] = pixels(parts_figure(request.descriptions))
    for score, rgb in pictures.items():
        write_atomically(folder / f"{score}.png", png(rgb))
    print(f"\nheads.csv and {len(pictures)} pictures:", file=sys.stderr)
    print(folder)
