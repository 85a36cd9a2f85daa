"""Pictures show their numbers, and no part covers another."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headscope.render.canvas import LARGE, NORMAL
from headscope.render.colours import BACKGROUND, DIVERGING, RAMP, colours
from headscope.render.fonts import text_mask
from headscope.render.pictures import matrix_picture, table_picture
from tests.render.layout import LABELS, boxes, check_fits, laid_out, overlap, pixels


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
    assert np.array_equal(body[:: cell[0], :: cell[1]], wanted)  # the upper left corner of every cell
    numbered = (body[: cell[0], : cell[1]] != body[0, 0]).any()
    assert numbered == (shape == (8, 16))
    assert (body[cell[0] : 2 * cell[0], : cell[1]] == BACKGROUND).all()  # masked cells stay empty


def test_a_matrix_of_one_number_has_its_label_and_its_scale():
    canvas = laid_out(matrix_picture, np.array([[0.25]]), ["a row"], ["probability"], "one", True)
    images = [part.image for part in canvas.parts]
    for text, size in [("a row", NORMAL), ("probability", NORMAL), ("one", LARGE), ("0.250", NORMAL)]:
        assert text_mask(text, size) in images, text
    assert text_mask("white is 0, dark blue is 1", NORMAL) in images
    assert tuple(RAMP[2].astype(int)) in {tuple(pixel) for pixel in canvas.picture().reshape(-1, 3)}
