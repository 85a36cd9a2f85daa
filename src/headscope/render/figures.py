"""Draws charts for pages and papers with matplotlib, without pyplot and its global state.

Charts are readable in greyscale and for colour-blind readers: they use the palette of Okabe and Ito (2008), and each
line has its own dashes and marker.
"""

import io
import logging
import math
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator
from PIL import Image

from headscope.files import write_atomically
from headscope.render.colours import RGB

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ((), (6, 2), (2, 2), (7, 2, 2, 2), (10, 3), (4, 4), (1, 3))  #: dashes and gaps in line widths; () is solid
MARKS = ("o", "^", "s", "D", "v", "P", "*")
REST = "#999999"  #: colour of all series after the seventh; the legend calls them “others”
EARLY = 0.25  #: the y limits ignore this first fraction of the x axis, because a steep start would flatten the curves
LEGEND_WIDTH = 50  #: characters in a line of the legend
SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Series:
    """A line of n points, or a single marker if n is 1. The legend shows its name."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] = ()  #: half the height of the band around each y; empty for no band

    @property
    def edges(self) -> tuple[list[float], list[float]]:
        """The lower and the upper edge of the band around the line."""
        y, spread = np.asarray(self.y, dtype=float), np.asarray(self.spread or 0.0)
        return (y - spread).tolist(), (y + spread).tolist()


def block_means(name: str, values: Sequence[float], points: int) -> Series:
    """Returns a line of about `points` points, each the mean of a block of successive values.

    The values belong to x = 1, 2, …. Values after the last complete block are ignored.
    """
    size = max(len(values) // points, 1)
    means = np.asarray(values, dtype=float)[: len(values) // size * size].reshape(-1, size).mean(1)
    return Series(name, [(i + 0.5) * size + 0.5 for i in range(len(means))], means.tolist())


def horizontal_line(name: str, y: float, others: Sequence[Series]) -> Series:
    """Returns a horizontal line at y that is as wide as the other series in the chart."""
    x = [x for s in others for x in s.x]
    return Series(name, [min(x), max(x)], [y, y])


def curves(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    title: str,
    log_x: bool = False,
    events: Sequence[tuple[float, str]] = (),
) -> Figure:
    """Draws series with their bands in one chart, with a legend below.

    Series come in order of importance: the first seven have a colour and a name, and the rest are grey. Screen readers
    use the title as the name of the figure. Each event is an x value and a text; it is drawn as a vertical line.
    """
    names = [textwrap.fill(s.name, LEGEND_WIDTH) for s in series[: len(COLOURS)]]
    names += ["others"] * (len(series) > len(names))
    columns = max(1, min(3, 74 // (7 + max(map(len, names)))))
    lines = math.ceil(sum(name.count("\n") + 1 for name in names) / columns)
    figure = Figure(figsize=(5.6, 3.4 + 0.2 * lines), layout="constrained", label=title)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    if log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
    if log_x or max(x for s in series for x in s.x) >= 1000:  # for small x, the formatter would write 0.15 as 150m
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.ticklabel_format(axis="y", useOffset=False)
    drawn = [_draw(axes, s, number) for number, s in reversed([*enumerate(series)])][::-1]  # the first series on top
    axes.set_ylim(*_y_limits(series, log_x, EARLY * (not events)))
    for x, event in events:
        axes.axvline(x, color="#555555", linewidth=0.8, linestyle=":")
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
        top = ("data", "axes fraction")
        axes.annotate(
            event, (x, 1), (2, -2), top, "offset points", bbox=box, rotation=90, fontsize=8, va="top", parse_math=False
        )
    legend = figure.legend(drawn[: len(names)], names, loc="outside lower left", ncols=columns, handlelength=3.4)
    legend.set_frame_on(False)
    for text in legend.texts:
        text.set(parse_math=False, fontsize=9)  # otherwise $ would start a formula
    return figure


def _draw(axes: Axes, s: Series, number: int) -> Line2D:
    """Draws one series and returns the line that represents it in the legend."""
    is_point = len(s.x) == 1
    if number >= len(COLOURS):
        return axes.plot(s.x, s.y, "." if is_point else "-", color=REST, linewidth=0.8)[0]
    colour, mark = COLOURS[number], MARKS[number]
    if is_point:
        bars = axes.errorbar(s.x, s.y, s.spread or None, color=colour, marker=mark, linestyle="", capsize=3)
        return bars.lines[0]
    axes.fill_between(s.x, *s.edges, color=colour, alpha=0.15, linewidth=0)
    every = (0.02 * number, 0.16)  # start and spacing, as fractions of the axes' diagonal; starts differ between series
    (line,) = axes.plot(s.x, s.y, color=colour, linewidth=1.8, marker=mark, markersize=5.5, markevery=every)
    if DASHES[number]:
        line.set_dashes(DASHES[number])
    return line


def _y_limits(series: Sequence[Series], log_x: bool, early: float) -> tuple[float, float]:
    """Returns the limits of the y axis, ignoring lines in the first fraction `early` of the x axis.

    Nothing is ignored if a line has fewer than two points after that: otherwise, no part of the line would be visible.
    """
    scale = math.log10 if log_x else float
    scaled = [scale(x) for s in series for x in s.x]
    late = min(scaled) + early * (max(scaled) - min(scaled))
    if any(sum(scale(x) >= late for x in s.x) < 2 for s in series if len(s.x) > 1):
        late = min(scaled)
    shown = [
        y
        for s in series
        for x, low, high in zip(s.x, *s.edges, strict=True)
        for y in (low, high)
        if math.isfinite(y) and (scale(x) >= late or len(s.x) == 1)
    ]
    margin = 0.06 * (max(shown) - min(shown)) or 0.1 * abs(shown[0]) or 1.0
    return min(shown) - margin, max(shown) + margin


def svg(figure: Figure) -> str:
    """Returns a figure as an `<svg>` element for an HTML page. Text remains text and is not converted to outlines."""
    title = str(figure.get_label())
    file = io.StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(file, format="svg", metadata=no_metadata)
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(file.getvalue())
    for element in root.iter():
        if "_" in element.get("id", ""):  # ids such as `axes_1` are not unique in a page, and nothing refers to them
            del element.attrib["id"]
    root.remove(root[0])  # a stylesheet for `*`, which would apply to the whole page
    del root.attrib["width"], root.attrib["height"]
    root.attrib.update({"role": "img", "aria-label": title, "stroke-linejoin": "round"})
    return ET.tostring(root, encoding="unicode")


def pixels(figure: Figure) -> RGB:
    """Returns a figure as a picture, (height, width, 3)."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=144)
    file.seek(0)
    return np.asarray(Image.open(file).convert("RGB"))


def save(figure: Figure, path: Path) -> None:
    """Writes `path`.png and `path`.pdf. Fonts are embedded, as journals require; equal figures give equal bytes."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # level INFO lists every table of an embedded font
    for suffix, metadata in ((".png", {}), (".pdf", {"CreationDate": None})):
        file = io.BytesIO()
        with mpl.rc_context({"pdf.fonttype": 42}):
            figure.savefig(file, format=suffix[1:], dpi=200, metadata=metadata)
        write_atomically(path.with_name(path.name + suffix), file.getvalue())
