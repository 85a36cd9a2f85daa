"""Pictures show the numbers that they are given, and nothing covers anything."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from headscope.render.axes import NORMAL, SMALL
from headscope.render.canvas import Canvas
from headscope.render.colours import BACKGROUND, DIVERGING, INK, RAMP, attention_colours, colours
from headscope.render.fonts import drawable, ink
from headscope.render.labels import label
from headscope.render.pictures import LARGE, heads_picture, matrix_picture, table_picture


def laid_out(draw, *arguments):
    """The canvas of a picture before it is drawn."""
    with patch.object(Canvas, "picture", lambda canvas: canvas):
        return draw(*arguments)


def pixels(picture, part):
    return picture[part.y : part.y + part.image.height, part.x : part.x + part.image.width]


def boxes(parts):
    """(N, 4): left, top, right, bottom of each part."""
    return np.array([(p.x, p.y, p.x + p.image.width, p.y + p.image.height) for p in parts])


def overlap(parts):
    left, top, right, bottom = boxes(parts).T
    across = (left[:, None] < right) & (left < right[:, None])
    down = (top[:, None] < bottom) & (top < bottom[:, None])
    return (across & down & ~np.eye(len(parts), dtype=bool)).any()


def some_maps(heads, t):
    maps = np.tril(np.random.default_rng(0).random((heads, t, t)))
    return maps / maps.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("heads", "t", "window"),
    [(8, 64, slice(0, 64)), (6, 256, slice(0, 64)), (2, 256, slice(-48, None)), (1, 4, slice(0, 64))],
)
def test_every_weight_is_drawn_as_its_colour(heads, t, window):
    maps = some_maps(heads, t)
    canvas = laid_out(heads_picture, maps, ["a"] * t, "layer 0", window)
    picture = canvas.picture()
    scale, *shown = [part for part in canvas.parts if part.colour is None]
    assert np.array_equal(pixels(picture, scale)[0], colours(np.linspace(0, 1, 160)))
    assert len(shown) == heads
    for part, a in zip(shown, maps[:, window, window], strict=True):
        cell = part.image.width // len(a)
        assert np.array_equal(pixels(picture, part), attention_colours(a).repeat(cell, 0).repeat(cell, 1))
    assert picture.shape[0] < 2000
    assert picture.shape[1] < 3600


def test_columns_and_rows_have_their_tokens_in_unbroken_lines():
    tokens = list("First Citizen:\nBefore é 日\r")
    t = len(tokens)
    canvas = laid_out(heads_picture, some_maps(1, t), tokens, "layer 0")
    _, grid = [part for part in canvas.parts if part.colour is None]
    cell = grid.image.width // t
    names = [p for p in canvas.parts if p.colour == INK and p.y > 80]
    rows = sorted((p for p in names if p.x + p.image.width <= grid.x), key=lambda p: p.y)
    columns = sorted((p for p in names if p.x >= grid.x), key=lambda p: p.x)
    for i, (token, row, column) in enumerate(zip(tokens, rows, columns, strict=True)):
        wanted = ink(drawable(label(token)), NORMAL)
        turned = wanted.transpose(Image.Transpose.ROTATE_90)
        assert row.image == wanted
        assert column.image in (wanted, turned)
        assert grid.y + i * cell <= row.y <= row.y + row.image.height <= grid.y + (i + 1) * cell
        assert grid.x + i * cell <= column.x <= column.x + column.image.width <= grid.x + (i + 1) * cell
    assert len({p.y + p.image.height for p in columns}) == 1
    assert columns[-1].image.height > columns[-1].image.width  # U+000D is turned


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (slice(0, 64), "positions 0 to 63 of 0 to 255"),
        (slice(-48, None), "positions 208 to 255 of 0 to 255; weights on earlier ones are not shown"),
    ],
)
def test_a_window_says_what_it_leaves_out(window, said):
    canvas = laid_out(heads_picture, some_maps(1, 256), ["a"] * 256, "layer 0", window)
    assert ink(said, NORMAL) in [part.image for part in canvas.parts]


LABELS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20) | st.text("aé日🙂ا\u0301 \n", min_size=1)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2, 3, 7, 16, 33, 64, 256]), st.integers(1, 16), st.lists(LABELS, min_size=1), st.text())
@example(1, 16, ["x"], "")
@example(256, 16, ["a", "internationalisation"], "layer 0, step 200: every row attends to its columns")
def test_heads_and_their_labels_never_overlap(t, heads, words, title):
    tokens = [words[i % len(words)] for i in range(t)]
    canvas = laid_out(heads_picture, np.ones((heads, t, t)), tokens, title)
    assert not overlap(canvas.parts)
    check_fits(canvas)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.lists(LABELS, min_size=1), st.booleans(), st.floats(0, 1e300))
@example(8, 16, ["x"], False, 99.9994)
@example(8, 16, ["x"], False, 1.2345e-7)
@example(200, 3, ["word"], True, 1)
def test_matrices_and_their_labels_never_overlap(r, c, words, weights, largest):
    values = np.linspace(*((0, 1) if weights else (-largest, largest)), r * c).reshape(r, c)
    rows, columns = ([words[i % len(words)] for i in range(n)] for n in (r, c))
    canvas = laid_out(matrix_picture, values, rows, columns, "matrix", weights)
    at = next(i for i, part in enumerate(canvas.parts) if part.colour is None)
    grid, after = canvas.parts[at], canvas.parts[at + 1 :]
    numbers, scale = after[:-1], after[-1]
    assert not overlap([*canvas.parts[: at + 1], scale])
    width, height = grid.image.width // c, grid.image.height // r
    for left, top, right, bottom in boxes(numbers) - [grid.x, grid.y, grid.x, grid.y] if numbers else ():
        assert 0 <= left // width == (right - 1) // width < c
        assert 0 <= top // height == (bottom - 1) // height < r
    check_fits(canvas)


def check_fits(canvas):
    """Everything lies inside the picture; the size is known without drawing it."""
    height, width, _ = canvas.picture().shape
    left, top, right, bottom = boxes(canvas.parts).T
    assert min(left.min(), top.min()) >= 0
    assert right.max() < width
    assert bottom.max() < height


def test_a_small_picture_has_all_of_its_title_and_its_scale():
    title = "layer 0, step 200: every row attends to its columns"
    picture = heads_picture(some_maps(1, 3), ["I", "love", "cats"], title)
    mask = np.asarray(ink(title, LARGE)) == 255
    assert (picture[8 : 8 + len(mask), 12 : 12 + mask.shape[1]][mask] == INK).all()
    assert (picture[34:44, 12:172] == colours(np.linspace(0, 1, 160))).all()
    assert ink("0.1", SMALL) in [p.image for p in laid_out(heads_picture, some_maps(1, 1), ["I"], title).parts]


def test_a_table_is_white_where_it_is_zero():
    canvas = laid_out(table_picture, np.array([[1.0, 0.0], [0.0, -1.0]]), "positions")
    (body,) = [part for part in canvas.parts if part.colour is None]
    seen = pixels(canvas.picture(), body)[::8, ::8]
    assert np.array_equal(seen, colours(np.array([[1, 0.5], [0.5, 0]]), DIVERGING))
    assert not overlap(canvas.parts)


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize(("shape", "cell"), [((40, 50), (24, 19)), ((8, 16), (26, 56))])
def test_a_matrix_is_drawn_cell_by_cell(shape, cell, weights):
    values = np.random.default_rng(0).uniform(0.01 if weights else -1, 1, shape)
    values[0, 0], values[1, 0], values[2, 0] = 1, np.nan, -np.inf
    values[3, 0] = 0
    canvas = laid_out(matrix_picture, values, ["row"] * shape[0], ["c"] * shape[1], "matrix", weights)
    (grid,) = [part for part in canvas.parts if part.colour is None]
    body = pixels(canvas.picture(), grid)
    assert body.shape == (shape[0] * cell[0], shape[1] * cell[1], 3)
    seen = np.nan_to_num(values, neginf=0)
    wanted = colours(np.sqrt(seen)) if weights else colours((seen + 1) / 2, DIVERGING)
    wanted[[1, 2, 3] if weights else [1, 2], 0] = BACKGROUND
    assert np.array_equal(body[:: cell[0], :: cell[1]], wanted)  # the corner of every cell
    numbered = (body[: cell[0], : cell[1]] != body[0, 0]).any()
    assert numbered == (shape == (8, 16))
    assert (body[cell[0] : 2 * cell[0], : cell[1]] == BACKGROUND).all()  # masked cells stay empty


def test_a_matrix_of_one_number_has_its_label_and_its_scale():
    canvas = laid_out(matrix_picture, np.array([[0.25]]), ["a row"], ["probability"], "one", True)
    images = [part.image for part in canvas.parts]
    for text, size in [("a row", NORMAL), ("probability", NORMAL), ("one", LARGE), ("0.250", NORMAL)]:
        assert ink(text, size) in images, text
    assert ink("white is 0, dark blue is 1", NORMAL) in images
    assert tuple(RAMP[2].astype(int)) in {tuple(pixel) for pixel in canvas.picture().reshape(-1, 3)}
