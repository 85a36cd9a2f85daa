"""`show=attention`: pictures of the attention of every head on a text.

Shapes: L layers, H heads, T positions.
"""

import sys
from collections.abc import Mapping, Sequence

from torch import Tensor

from headscope.files import write_atomically
from headscope.heads import table
from headscope.heads.flow import Views, views
from headscope.render.colours import RGB
from headscope.render.pictures import ALONE, WINDOW, head_names, maps_picture, png
from headscope.show.request import ShowRequest

Titles = Mapping[tuple[int, int], str]  #: the role to show after the name of each (layer, head)
LAST = slice(-32, None)  #: positions of a long prompt that the picture of a layer shows
LAST_OF_HEAD = slice(-64, None)  #: positions of a long prompt that the picture of one head shows


def layer_pictures(
    flow: Views, tokens: Sequence[str], label: str, titles: Titles | None = None, window: slice = WINDOW
) -> dict[str, RGB]:
    """Draws the attention on a batch's first text: `attention/layer_0`, `norm_weighted/layer_0`, …, and `rollout`.

    Each title begins with `label`, such as "step 200". Only the positions in `window` are drawn.
    """
    weights, moved, rolled = (x[:, 0].double().cpu().numpy() for x in flow)
    pictures = {}
    for layer, (a, m) in enumerate(zip(weights, moved, strict=True)):
        names = head_names(layer, len(a), titles)
        title = f"{label}, layer {layer}: each row shows where one token attends"
        pictures[f"attention/layer_{layer}"] = maps_picture(a, tokens, title, names, window)
        title = f"{label}, layer {layer}: how much each row takes from each column (norm-weighted)"
        pictures[f"norm_weighted/layer_{layer}"] = maps_picture(m, tokens, title, names, window, float(m.max()))
    title = f"{label}: how much of each column has reached each row after each layer (rollout)"
    names = [f"after layer {layer}" for layer in range(len(rolled))]
    return pictures | {"rollout": maps_picture(rolled, tokens, title, names, window)}


def head_pictures(
    maps: Tensor, tokens: Sequence[str], label: str, titles: Titles | None = None, window: slice = LAST_OF_HEAD
) -> dict[str, RGB]:
    """Draws one larger picture per head, named like `L1H2`, of the first text in maps (L, B, H, T, T)."""
    pictures = {}
    for layer, layer_maps in enumerate(maps[:, 0].double().cpu().numpy()):
        for head, name in enumerate(head_names(layer, len(layer_maps), titles)):
            caption = "each row shows where one token attends"
            picture = maps_picture(layer_maps[head, None], tokens, f"{name}, {label}", [caption], window, pixels=ALONE)
            pictures[f"L{layer}H{head}"] = picture
    return pictures


def show(request: ShowRequest) -> None:
    """Writes PNG files and prints their folder on standard output. Replaces files with the same names."""
    model, ids, folder = request.transformer(), request.context(), request.folder("attention")
    tokens = [request.tokenizer.show(i) for i in ids[0].tolist()]
    flow = views(model, ids)
    request.require_finite(flow.weights, "its attention")
    titles = table.role_labels(request.head_reports)
    pictures = layer_pictures(flow, tokens, request.label, titles, LAST)
    pictures |= head_pictures(flow.weights, tokens, request.label, titles)
    for name, rgb in pictures.items():
        write_atomically(folder / f"{name.replace('/', '-')}.png", png(rgb))
    print(f"{len(pictures)} pictures, of each layer, of each head, and of the rollout:", file=sys.stderr)
    print(folder)
