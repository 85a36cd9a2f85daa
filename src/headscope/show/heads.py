"""`show=heads`: what every head does, with the evidence, as tables and pictures.

Shapes: B texts, T positions, H heads, L layers.
"""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.generation.decode import decode
from headscope.generation.sampling import Sampling
from headscope.heads import describe, look, table
from headscope.heads.circuits import ov_circuit, qk_circuit, strongest
from headscope.heads.probes import LONGEST, TEXTS
from headscope.heads.reports import SHORTEST, HeadReport
from headscope.heads.roles import ROLE_RULES
from headscope.heads.scores import distance_profile
from headscope.model.transformer import TransformerLM
from headscope.render.colours import RGB
from headscope.render.grid import scores_picture
from headscope.render.labels import label
from headscope.render.pictures import png
from headscope.show.request import ShowRequest

MOST = 3  #: tokens, pairs and distances that are listed for a head


def passages(request: ShowRequest) -> Tensor:
    """Returns the texts that heads are described on, ids (B, T): the run's texts, or texts that the model generates."""
    text = request.probe_texts()
    if text is None:
        print(
            "the checkpoint has no validation text; the heads are described on text that it generates", file=sys.stderr
        )
        start = torch.full((TEXTS, 1), request.tokenizer.opening)
        generators = [torch.Generator().manual_seed(seed) for seed in range(TEXTS)]
        length = min(LONGEST, request.model.block_size) - 1
        drawn = decode(request.transformer(), start, length, Sampling(1.0), generators)
        text = torch.cat((start, torch.tensor([*drawn]).T), 1)
    if text.shape[1] < SHORTEST:
        raise UserError(
            f"texts of {text.shape[1]} tokens are too short to describe heads; {SHORTEST} or more tokens are needed"
        )
    return text


def reports(request: ShowRequest) -> list[HeadReport]:
    """Returns a report on every head. Raises `UserError` if the texts are too short to tell roles apart."""
    return describe(request.transformer(), passages(request))


def score_pictures(found: Sequence[HeadReport], when: str) -> dict[str, RGB]:
    """Draws one picture of all heads per score that can give a role, by the score's name.

    `when` begins each picture's title, such as "step 200".
    """
    shape = found[-1].layer + 1, found[-1].head + 1
    pictures = {}
    for rule in ROLE_RULES.values():
        values = np.array([report.scores[rule.score] for report in found]).reshape(shape)  # (L, H)
        pictures[rule.score] = scores_picture(values, f"{when}: {rule.score.replace('_', ' ')}", rule.caption)
    return pictures


def habits(model: TransformerLM, text: Tensor, names: list[str]) -> list[str]:
    """Returns one line per head: the tokens that it copies, the pairs that it matches, the distances that it prefers.

    The text is ids (B, T), and `names` has the label of every token.
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
            habit = f"copies {' '.join(copied) or 'nothing'}; matches {', '.join(pairs)}; distances {', '.join(far)}"
            lines.append(f"L{layer}H{head}  {habit}")
    return lines


def show(request: ShowRequest) -> None:
    """Prints tables on standard output; writes `heads.csv` and score pictures next to the checkpoint, or into `out`."""
    model, folder, text = request.transformer(), request.folder("heads"), passages(request)
    found = describe(model, text)
    print(table.as_text(found))
    print("\nfrom their weights (positions left out), and from their maps:")
    names = [label(request.tokenizer.show(i)) for i in range(len(request.tokenizer))]
    print("\n".join(habits(model, text, names)))
    write_atomically(folder / "heads.csv", table.to_csv(table.rows(found, request.about.get("step", 0))).encode())
    pictures = score_pictures(found, request.when)
    for score, rgb in pictures.items():
        write_atomically(folder / f"{score}.png", png(rgb))
    print(f"\nheads.csv and {len(pictures)} pictures:", file=sys.stderr)
    print(folder)
