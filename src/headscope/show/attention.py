"""`show=attention`: pictures of every head on a text.

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

Titles = Mapping[tuple[int, int], str]  #: text after the name of a head (layer, head): its role
LAST = slice(-32, None)  #: the positions of a long prompt in the picture of a layer
LAST_OF_ONE = slice(-64, None)  #: and in the picture of one head


def layer_pictures(
    seen: Views, tokens: Sequence[str], when: str, titles: Titles | None = None, window: slice = WINDOW
) -> dict[str, RGB]:
    """Draws all heads on the first text of a pass: `attention/layer_0`, `norm_weighted/layer_0`, …, and `rollout`.

    `when` begins each picture's title, such as "step 200". Of a longer text, the positions in `window` are drawn.
    """
    weights, moved, rolled = (x[:, 0].double().cpu().numpy() for x in seen)
    pictures = {}
    for layer, (a, m) in enumerate(zip(weights, moved, strict=True)):
        names = head_names(layer, len(a), titles)
        title = f"{when}, layer {layer}: every row attends to its columns"
        pictures[f"attention/layer_{layer}"] = maps_picture(a, tokens, title, names, window)
        title = f"{when}, layer {layer}: how much every row takes from its columns (norm-weighted)"
        pictures[f"norm_weighted/layer_{layer}"] = maps_picture(m, tokens, title, names, window, float(m.max()))
    title = f"{when}: how much of each column is in every row, through all heads so far (rollout)"
    names = [f"after layer {layer}" for layer in range(len(rolled))]
    return pictures | {"rollout": maps_picture(rolled, tokens, title, names, window)}


def head_pictures(
    maps: Tensor, tokens: Sequence[str], when: str, titles: Titles | None = None, window: slice = LAST_OF_ONE
) -> dict[str, RGB]:
    """Draws one larger picture per head, by name (`L1H2`), of the first text of maps (L, B, H, T, T)."""
    pictures = {}
    for layer, of_layer in enumerate(maps[:, 0].double().cpu().numpy()):
        for head, name in enumerate(head_names(layer, len(of_layer), titles)):
            caption = "every row attends to its columns"
            picture = maps_picture(of_layer[head, None], tokens, f"{name}, {when}", [caption], window, pixels=ALONE)
            pictures[f"L{layer}H{head}"] = picture
    return pictures


def show(request: ShowRequest) -> None:
    """Writes PNG files and prints their folder on standard output. Files with the same names are replaced."""
    model, ids, folder = request.transformer(), request.context(), request.folder("attention")
    tokens = [request.tokenizer.show(i) for i in ids[0].tolist()]
    titles = table.titles(request.head_reports)
    seen = views(model, ids)
    pictures = layer_pictures(seen, tokens, request.when, titles, LAST)
    pictures |= head_pictures(seen.weights, tokens, request.when, titles)
    for name, rgb in pictures.items():
        write_atomically(folder / f"{name.replace('/', '-')}.png", png(rgb))
    print(f"{len(pictures)} pictures, one per layer and kind and one per head:", file=sys.stderr)
    print(folder)
