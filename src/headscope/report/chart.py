"""Line charts and scatter plots as SVG: they stand in a page without any other file.

Read on paper and by colour-blind readers: the colours are Okabe and Ito's, and each line has dashes and a mark of its
own, and its name at its end.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 4", "1 5")
REST = "#999999"  #: of lines beyond the seventh, which have no name
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 58, 150, 12, 44
GAP = 14  #: between two names at the ends of lines
EARLY = 0.15  #: of the way, which does not count for the height of a chart
#: A mark for each colour but the first, which has a disc: corners around its place.
MARKS = (
    ((0, -6), (5.5, 4), (-5.5, 4)),
    ((-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)),
    ((0, -6.5), (5, 0), (0, 6.5), (-5, 0)),
    ((0, 6), (5.5, -4), (-5.5, -4)),
    ((-2, -6), (2, -6), (2, -2), (6, -2), (6, 2), (2, 2), (2, 6), (-2, 6), (-2, 2), (-6, 2), (-6, -2), (-2, -2)),
    ((0, -6), (2, -2), (6, 0), (2, 2), (0, 6), (-2, 2), (-6, 0), (-2, -2)),
)

Place = Callable[[float, float], tuple[float, float]]  #: of data on the page


@dataclass(frozen=True)
class Series:
    """A line, or a point, with its spread: `low` and `high` as long as `y`."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def chart(series: Sequence[Series], x_label: str, y_label: str, title: str, log_x: bool = False) -> str:
    """Series over common axes; those of one point as marks with bars.

    Args:
        series: the most interesting first: seven have a colour and a name.
        x_label: of the axis, with its unit.
        y_label: of the other.
        title: for people who cannot see it.
        log_x: a logarithmic axis.
    """
    series = [s for s in series if s.x]
    xs = [x for s in series for x in s.x]
    if not xs:
        return ""
    late = min(xs) + EARLY * (max(xs) - min(xs))  # the steep beginning would flatten all that follows
    ys = [
        y
        for s in series
        for x, *spread in zip(s.x, s.low, s.high, strict=True)
        for y in spread
        if x >= late or len(s.x) == 1
    ]
    place = (lambda x: math.log10(max(x, 1e-12))) if log_x else float
    x_low, x_high = _widened(min(map(place, xs)), max(map(place, xs)), 0.02 if not log_x else 0.08)
    y_low, y_high = _widened(min(ys), max(ys), 0.05)

    def at(x: float, y: float) -> tuple[float, float]:
        right, down = (place(x) - x_low) / (x_high - x_low), (y_high - y) / (y_high - y_low)
        return LEFT + right * (WIDTH - LEFT - RIGHT), TOP + down * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}"'
        ' xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="12">'
    ]
    powers = _powers(x_low, x_high) if log_x else []
    ticks = powers if len(powers) > 1 else sorted(set(xs)) if log_x else _ticks(x_low, x_high)
    for x in ticks:
        px, _ = at(x, y_low)
        parts.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(_text(px, HEIGHT - BOTTOM + 16, _number(x), "middle"))
    for y in _ticks(y_low, y_high):
        _, py = at(xs[0], y)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py:.1f}" y2="{py:.1f}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, py + 4, _number(y), "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<g transform="rotate(-90 14 {middle})">{_text(14, middle, y_label, "middle")}</g>')
    named = list(series[: len(COLOURS)])
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    frame = f'x="{LEFT}" y="{TOP}" width="{width}" height="{height}" viewBox="{LEFT} {TOP} {width} {height}"'
    parts.append(f"<svg {frame}>")  # cuts off what lies outside
    for number in reversed(range(len(series))):  # the first on top
        parts += _draw(series[number], number, at)
    parts.append("</svg>")
    parts += [_mark(number, *at(s.x[-1], s.y[-1])) for number, s in reversed([*enumerate(named)])]
    ends = [at(s.x[-1], s.y[-1])[1] for s in named]
    for number, y in zip(range(len(named)), _apart(ends), strict=True):
        x = WIDTH - RIGHT + 10
        parts.append(_mark(number, x, y - 4))
        parts.append(_text(x + 8, y, named[number].name, "start", COLOURS[number]))
    return "".join([*parts, "</svg>"])


def _draw(s: Series, number: int, place: Place) -> list[str]:
    points = [place(x, y) for x, y in zip(s.x, s.y, strict=True)]
    if number >= len(COLOURS) and len(points) == 1:
        return [f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2.5" fill="{REST}"/>']
    if number >= len(COLOURS):
        return [f'<polyline points="{_points(points)}" fill="none" stroke="{REST}" stroke-width="1"/>']
    colour = COLOURS[number]
    highs = [place(x, y) for x, y in zip(s.x, s.high, strict=True)]
    lows = [place(x, y) for x, y in zip(s.x, s.low, strict=True)]
    parts = []
    if len(points) > 1:
        parts.append(f'<polygon points="{_points([*highs, *reversed(lows)])}" fill="{colour}" opacity="0.15"/>')
        parts.append(
            f'<polyline points="{_points(points)}" fill="none" stroke="{colour}" stroke-width="2"'
            f' stroke-dasharray="{DASHES[number]}"/>'
        )
    else:
        (x, top), (_, bottom) = highs[0], lows[0]
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" stroke="{colour}"/>')
    return parts


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _mark(number: int, x: float, y: float) -> str:
    """At a place, so that lines can be told apart without colour."""
    colour = COLOURS[number]
    if number == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
    around = [(x + right, y + down) for right, down in MARKS[number - 1]]
    return f'<polygon points="{_points(around)}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _apart(places: Sequence[float]) -> list[float]:
    """Places on a line moved so that names do not cover each other, in the order they had."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + GAP)
    over = max((moved[order[-1]] if order else 0) - (HEIGHT - BOTTOM), 0)
    return [max(y - over, TOP + 8) if over else y for y in moved]


def _widened(low: float, high: float, by: float) -> tuple[float, float]:
    margin = (high - low) * by or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers between two ends: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between the logarithms of two ends."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    return [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= math.log10(m * 10.0**d) <= high]


def _number(x: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{x / size:g}{letter}"
    return f"{x:g}"
