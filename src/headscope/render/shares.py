"""Draws what explains each head's contribution, as one stacked bar per head."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

COLOURS = {
    "place": "#0072B2",
    "structure": "#009E73",
    "identity": "#CC79A7",
    "content": "#E69F00",
    "unexplained": "#CCCCCC",
}
HATCHES = {"place": "", "structure": "//", "identity": "..", "content": "\\\\", "unexplained": ""}  #: for greyscale


def shares(names: Sequence[str], parts: Sequence[Mapping[Any, float]], title: str) -> Figure:
    """Draws one bar per name with the shares of `parts`, which have the keys of `COLOURS` without "unexplained".

    Negative shares are drawn to the left of zero. If the shares sum to less than one, the rest is "unexplained".
    """
    figure = Figure(figsize=(5.6, 1.2 + 0.24 * len(names)), layout="constrained", label=title)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.set_xlabel("share of the loss that rises without the head")
    left, right = [0.0] * len(names), [0.0] * len(names)
    for kind, colour in COLOURS.items():
        rest = [max(1 - sum(p.values()), 0.0) for p in parts]
        widths = rest if kind == "unexplained" else [p[kind] for p in parts]
        starts = [r if w >= 0 else x for w, x, r in zip(widths, left, right, strict=True)]
        axes.barh(names, widths, left=starts, color=colour, hatch=HATCHES[kind], label=kind, edgecolor="white")
        right = [r + max(w, 0.0) for w, r in zip(widths, right, strict=True)]
        left = [x + min(w, 0.0) for w, x in zip(widths, left, strict=True)]
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(loc="outside lower left", ncols=5, fontsize=8, handlelength=1.2, columnspacing=1)
    legend.set_frame_on(False)
    return figure
