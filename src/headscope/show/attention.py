"""`show=attention`: every head on a text, as pictures.

Shapes: L layers, H heads, T positions.
"""

import sys
from collections.abc import Mapping, Sequence

from torch import Tensor

from headscope.files import write_atomically
from headscope.heads.capture import look
from headscope.heads.flow import views
from headscope.model.transformer import TransformerLM
from headscope.render.colours import RGB
from headscope.render.maps import ALONE, WINDOW, head_names, maps_picture
from headscope.render.pictures import png
from headscope.show import heads as described
from headscope.show.request import ShowRequest

Roles = Mapping[tuple[int, int], str]  #: what to write beside the name of a head (layer, head)
LAST = slice(-32, None)  #: the positions of a long prompt in the picture of a layer
LAST_OF_ONE = slice(-64, None)  #: and in the picture of one head


def layer_pictures(
    model: TransformerLM,
    ids: Tensor,
    tokens: Sequence[str],
    when: str,
    roles: Roles | None = None,
    window: slice = WINDOW,
) -> dict[str, RGB]:
    """Pictures of all heads on a text by name: `attention/layer_0`, `norm_weighted/layer_0`, …, and `rollout`.

    Args:
        model: that looks at the text.
        ids: (1, T), on the model's device.
        tokens: T labels.
        when: begins each title, such as "step 200".
        roles: for the heads' names.
        window: the positions that are drawn of a longer text.
    """
    weights, moved, rolled = (x[:, 0].double().cpu().numpy() for x in views(model, ids))
    pictures = {}
    for layer, (a, m) in enumerate(zip(weights, moved, strict=True)):
        names = head_names(layer, len(a), roles)
        title = f"{when}, layer {layer}: every row attends to its columns"
        pictures[f"attention/layer_{layer}"] = maps_picture(a, tokens, title, names, window)
        title = f"{when}, layer {layer}: how much every row takes from its columns (norm-weighted)"
        pictures[f"norm_weighted/layer_{layer}"] = maps_picture(m, tokens, title, names, window, float(m.max()))
    title = f"{when}: how much of each column is in every row, through all heads so far (rollout)"
    names = [f"after layer {layer}" for layer in range(len(rolled))]
    return pictures | {"rollout": maps_picture(rolled, tokens, title, names, window)}


def head_pictures(
    model: TransformerLM,
    ids: Tensor,
    tokens: Sequence[str],
    when: str,
    roles: Roles | None = None,
    window: slice = LAST_OF_ONE,
) -> dict[str, RGB]:
    """A picture for each head, by name (`L1H2`): its weights, larger. Arguments as above."""
    pictures = {}
    for layer, maps in enumerate(look(model, ids, "maps").maps[:, 0].double().cpu().numpy()):
        for head, caption in enumerate(head_names(layer, len(maps), roles)):
            said = "every row attends to its columns"
            title = f"{caption}, {when}"
            pictures[f"L{layer}H{head}"] = maps_picture(maps[head, None], tokens, title, [said], window, pixels=ALONE)
    return pictures


def show(request: ShowRequest) -> None:
    """Writes PNG files, and prints their folder on standard output. Files of these names are written again.

    Raises:
        UserError: the model has no heads, the prompt a token that the vocabulary lacks, or the folder cannot be used.
    """
    model, ids, folder = request.transformer(), request.context(), request.folder("attention")
    tokens = [request.tokenizer.show(i) for i in ids[0].tolist()]
    roles = described.roles(request)
    pictures = layer_pictures(model, ids, tokens, request.when, roles, LAST)
    pictures |= head_pictures(model, ids, tokens, request.when, roles)
    for name, rgb in pictures.items():
        write_atomically(folder / f"{name.replace('/', '-')}.png", png(rgb))
    print(f"{len(pictures)} pictures, one a layer and kind, one a head:", file=sys.stderr)
    print(folder)
