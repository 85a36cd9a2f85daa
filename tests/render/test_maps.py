"""Maps show all of their weights, and no part covers another."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from headscope.render.canvas import LARGE, NORMAL, SMALL
from headscope.render.colours import BACKGROUND, INK, attention_colours, colours
from headscope.render.fonts import replace_undrawable, text_mask
from headscope.render.labels import label
from headscope.render.pictures import head_names, maps_picture
from tests.render.layout import LABELS, check_fits, laid_out, overlap, pixels


def some_maps(heads, t):
    maps = np.tril(np.random.default_rng(0).random((heads, t, t)))
    return maps / maps.sum(-1, keepdims=True)


def shown(canvas):
    """Returns the scale and the cells of each map."""
    return [part for part in canvas.parts if part.colour is None]


@pytest.mark.parametrize("largest", [1.0, 0.4])
@pytest.mark.parametrize(("heads", "t"), [(8, 64), (6, 256), (1, 4)])
def test_every_weight_is_drawn_as_its_colour(heads, t, largest):
    maps = some_maps(heads, t)
    canvas = laid_out(maps_picture, maps, ["a"] * t, "layer 0", head_names(0, heads), slice(0, 32), largest)
    picture = canvas.picture()
    scale, *grids = shown(canvas)
    assert np.array_equal(pixels(picture, scale)[0], colours(np.linspace(0, 1, 160)))
    assert len(grids) == heads
    for part, a in zip(grids, maps[:, :32, :32], strict=True):
        cell = part.image.width // len(a)
        wanted = attention_colours(a / largest).repeat(cell, 0).repeat(cell, 1)
        assert np.array_equal(pixels(picture, part), wanted)
    assert picture.shape[0] < 1100
    assert picture.shape[1] < 2000


def test_a_window_shows_all_of_the_weight_of_its_rows():
    maps = some_maps(2, 40)
    canvas = laid_out(maps_picture, maps, ["a"] * 40, "layer 0", head_names(0, 2), slice(-8, None))
    picture = canvas.picture()
    for part, a in zip(shown(canvas)[1:], maps, strict=True):
        cell = part.image.height // 8
        seen = pixels(picture, part)[::cell, ::cell]
        assert seen.shape == (8, 10, 3)
        assert np.array_equal(seen[:, 0], colours(np.sqrt(a[32:, :32].sum(-1))))
        assert (seen[:, 1] == BACKGROUND).all()
        assert np.array_equal(seen[:, 2:], attention_colours(a[32:, 32:]))


def test_columns_and_rows_have_their_tokens_in_unbroken_lines():
    tokens = list("First Citizen:\nBefore é 日\r")
    t = len(tokens)
    canvas = laid_out(maps_picture, some_maps(1, t), tokens, "layer 0", ["L0H0"])
    _, grid = shown(canvas)
    cell = grid.image.width // t
    names = [p for p in canvas.parts if p.colour == INK and p.y > 100]
    rows = sorted((p for p in names if p.x + p.image.width <= grid.x), key=lambda p: p.y)
    columns = sorted((p for p in names if p.x >= grid.x), key=lambda p: p.x)
    for i, (token, row, column) in enumerate(zip(tokens, rows, columns, strict=True)):
        wanted = text_mask(replace_undrawable(label(token)), NORMAL)
        turned = wanted.transpose(Image.Transpose.ROTATE_90)
        assert row.image == wanted
        assert column.image in (wanted, turned)
        assert grid.y + i * cell <= row.y <= row.y + row.image.height <= grid.y + (i + 1) * cell
        assert grid.x + i * cell <= column.x <= column.x + column.image.width <= grid.x + (i + 1) * cell
    assert len({p.y + p.image.height for p in columns}) == 1
    assert columns[-1].image.height > columns[-1].image.width  # U+000D is rotated


@pytest.mark.parametrize(
    ("window", "notes"),
    [
        (slice(0, 32), ["positions 0 to 31 of 0 to 255"]),
        (slice(-32, None), ["positions 224 to 255 of 0 to 255", "column … is the sum over all earlier positions"]),
    ],
)
def test_a_window_names_the_positions_that_it_leaves_out(window, notes):
    canvas = laid_out(maps_picture, some_maps(1, 256), ["a"] * 256, "layer 0", ["L0H0"], window)
    for text in notes:
        assert text_mask(text, NORMAL) in [part.image for part in canvas.parts]


@pytest.mark.parametrize(
    ("tokens", "text"), [(list("to be\n"), "to·be↵"), (["to", "·be", "or"], "to <U+00B7>be or"), (["a"], "a")]
)
def test_the_text_appears_once_above_the_maps(tokens, text):
    canvas = laid_out(maps_picture, some_maps(4, len(tokens)), tokens, "layer 0", head_names(0, 4))
    assert [part.image for part in canvas.parts].count(text_mask(text, NORMAL)) == 1 + 8 * (len(tokens) == 1)


def test_head_names_include_roles():
    assert head_names(1, 3, {(1, 2): "induction", (0, 1): "sink"}) == ["L1H0", "L1H1", "L1H2: induction"]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([1, 2, 3, 7, 16, 33, 64, 256]),
    st.integers(1, 16),
    st.lists(LABELS, min_size=1),
    st.text(),
    st.sampled_from([slice(0, 32), slice(-32, None), slice(-64, None)]),
)
@example(1, 16, ["x"], "", slice(0, 32))
@example(256, 16, ["a", "internationalisation"], "layer 0, step 200: every row attends", slice(-32, None))
def test_heads_and_their_labels_never_overlap(t, heads, words, title, window):
    tokens = [words[i % len(words)] for i in range(t)]
    names = head_names(0, heads, {(0, 0): "a long role, unconfirmed"})
    canvas = laid_out(maps_picture, np.ones((heads, t, t)), tokens, title, names, window, 3.21)
    assert not overlap(canvas.parts)
    check_fits(canvas)


def test_a_small_picture_has_all_of_its_title_and_its_scale():
    title = "layer 0, step 200: every row attends to its columns"
    picture = maps_picture(some_maps(1, 3), ["I", "love", "cats"], title, ["L0H0"])
    mask = np.asarray(text_mask(title, LARGE)) == 255
    assert (picture[8 : 8 + len(mask), 12 : 12 + mask.shape[1]][mask] == INK).all()
    canvas = laid_out(maps_picture, some_maps(1, 1), ["I"], title, ["L0H0"])
    for number in ("0", "0.1", "0.5", "1"):
        assert text_mask(number, SMALL) in [p.image for p in canvas.parts]


def test_nothing_moved_is_white():
    canvas = laid_out(maps_picture, np.zeros((1, 3, 3)), list("abc"), "layer 0", ["L0H0"], slice(0, 32), 0.0)
    grid = shown(canvas)[1]
    assert (pixels(canvas.picture(), grid)[np.tril_indices(3)] == 255).all()
