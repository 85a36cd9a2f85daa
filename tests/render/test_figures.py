"""Charts are complete, legible without colour, and can be embedded in a page."""

import logging
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from headscope.render.figures import COLOURS, Series, curves, save, svg
from tests.conftest import shell

SPACE = "{http://www.w3.org/2000/svg}"


def falling(n, points=20):
    """Lines with a steep beginning, and names with special characters."""
    x = np.arange(points) * 100.0
    return [
        Series(f"n{i} & <b> $x$", x.tolist(), (2 + 0.1 * i + 9 * np.exp(-x / 100)).tolist(), [0.02] * points)
        for i in range(n)
    ]


@pytest.fixture
def figure():
    return curves(falling(9), "steps", "loss", "a “title” of <some> lines")


def test_each_of_seven_lines_has_its_own_colour_dashes_marker_and_name(figure):
    lines = [line for line in figure.axes[0].lines if line.get_color() in COLOURS]
    assert len(lines) == len({line.get_color() for line in lines}) == 7
    assert len({line.get_marker() for line in lines}) == 7
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == 7
    assert [t.get_text() for t in figure.legends[0].texts] == [*(f"n{i} & <b> $x$" for i in range(7)), "others"]


def test_the_legend_covers_nothing(figure):
    figure.draw_without_rendering()
    legend, axes = figure.legends[0].get_window_extent(), figure.axes[0].get_tightbbox()
    assert not legend.overlaps(axes)
    assert legend.x1 <= figure.bbox.x1
    long = curves([Series("a data set of some name, " * 5, [1, 2], [1, 2])] * 3, "steps", "loss", "t")
    long.draw_without_rendering()
    assert long.legends[0].get_window_extent().x1 <= long.bbox.x1


def test_a_steep_beginning_does_not_flatten_the_rest(figure):
    low, high = figure.axes[0].get_ylim()
    assert low < 1.98, "the lower edge of the lowest band is shown"
    assert 2.8 < high < 4, "of lines that begin at 11"


def test_a_value_that_is_not_finite_leaves_a_gap():
    figure = curves([Series("a", [1, 2, 3], [3.0, float("inf"), 1.0])], "steps", "loss", "t")
    assert figure.axes[0].get_ylim()[1] < 2, "the first point is early, the second has no height"


@pytest.mark.parametrize(("most", "shown"), [(0.4, "0.20"), (4000.0, "2k")])
def test_only_large_numbers_are_shortened(most, shown):
    figure = curves([Series("a", [0.0, most], [2.0, 1.0])], "seconds", "val/loss", "t")
    figure.canvas.draw()
    assert shown in [tick.get_text() for tick in figure.axes[0].get_xticklabels()]


def test_points_have_bars_and_a_logarithmic_axis_has_ticks():
    points = [Series(str(i), [x], [i], [0.5]) for i, x in enumerate((810_000, 826_000), 1)]
    figure = curves(points, "parameters", "loss", "t", log_x=True)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.get_ylim()[0] < 0.5
    assert axes.get_ylim()[1] > 2.5
    left, right = axes.get_xlim()
    assert sum(left <= x <= right for x in axes.get_xticks()) >= 2
    assert len(axes.containers) == 2
    single = curves([Series("one", [5.0], [1.0])], "parameters", "loss", "t", log_x=True)
    assert "<svg" in svg(single)


def test_svg_can_be_part_of_a_page(figure):
    text = svg(figure)
    root = ET.fromstring(text)
    assert text.startswith("<svg")
    assert root.get("aria-label") == "a “title” of <some> lines"
    assert root.get("role") == "img"
    assert {e.tag for e in root.iter()}.isdisjoint({SPACE + "style", SPACE + "script", SPACE + "image"})
    assert set(re.findall(r'https?://[^"]*', text)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "n0 & <b> $x$" in ["".join(e.itertext()) for e in root.iter(SPACE + "text")], "text is text"


def test_ids_are_unique_in_a_page_and_every_reference_has_one(figure):
    other = curves(falling(9, points=30), "steps", "loss", "another title")
    ids, references = [], set()
    for text in (svg(figure), svg(other)):
        own = re.findall(r'\bid="([^"]*)"', text)
        used = set(re.findall(r'(?:xlink:href="|url\()#([^")]*)', text))
        assert used == set(own)
        ids += own
        references |= used
    assert len(ids) == len(set(ids)) > 10


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save(curves(falling(3), "steps", "loss", "t"), tmp_path / "new" / name)
    for suffix in ("png", "pdf"):
        first, second = ((tmp_path / "new" / f"{n}.{suffix}").read_bytes() for n in "ab")
        assert first == second
    assert b"/FontFile2" in first or b"/Type42" in first or b"CIDFontType2" in first, "fonts are embedded as outlines"
    assert svg(curves(falling(3), "steps", "loss", "t")) == svg(curves(falling(3), "steps", "loss", "t"))


def test_a_saved_figure_logs_nothing(caplog, figure, tmp_path):
    caplog.set_level(logging.INFO)  # at the level of a run's log, fontTools lists every table of a font
    save(figure, tmp_path / "f")
    assert not caplog.records


def test_nothing_global_changes(figure, tmp_path):
    before = {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}  # reading this key sets it
    svg(figure)
    save(figure, tmp_path / "f")
    assert {key: mpl.rcParams[key] for key in before} == before
    done = shell("-c", "import headscope.report.writing, sys; print({'torch', 'matplotlib.pyplot'} & {*sys.modules})")
    assert done.stdout == "set()\n", done.stderr
