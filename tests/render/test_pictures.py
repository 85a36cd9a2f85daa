"""Pictures show the numbers they are given."""

import numpy as np
import pytest

from headscope.render.pictures import (
    BACKGROUND,
    DIVERGING,
    RAMP,
    attention_colours,
    colours,
    heads_picture,
    label,
    matrix_picture,
    table_picture,
)


def test_tokens_are_readable():
    assert [label(t) for t in (" ", "\n", "\t", "$", "love", "\0", "\r\n")] == ["·", "↵", "→", "$", "love", "0", "d↵"]


def test_the_scale_is_fixed_and_grows_darker():
    ramp = colours(np.linspace(0, 1, 101)).astype(int)
    assert tuple(ramp[0]) == (255, 255, 255)
    assert tuple(ramp[-1]) == tuple(RAMP[-1].astype(int))
    assert (np.diff(ramp.sum(1)) < 0).all()


def test_what_the_mask_hides_is_absent_not_zero():
    rgb = attention_colours(np.eye(3))
    assert tuple(rgb[0, 1]) == BACKGROUND
    assert tuple(rgb[1, 0]) == (255, 255, 255)
    assert tuple(rgb[1, 1]) == tuple(RAMP[-1].astype(int))


@pytest.mark.parametrize(("heads", "t"), [(8, 64), (6, 256), (1, 4)])
def test_every_weight_is_drawn_as_its_colour(heads, t):
    rng = np.random.default_rng(0)
    maps = np.tril(rng.random((heads, t, t)))
    maps /= maps.sum(-1, keepdims=True)
    picture = heads_picture(maps, ["a"] * t, "layer 0")
    cell = max(3, min(32, 512 // t))
    for h in (0, heads - 1):
        wanted = attention_colours(maps[h]).repeat(cell, 0).repeat(cell, 1)
        side = len(wanted)
        tops, bottoms = picture[: 1 - side, : 1 - side], picture[side - 1 :, : 1 - side]
        corners = np.argwhere((tops == wanted[0, 0]).all(-1) & (bottoms == wanted[-1, 0]).all(-1))
        assert any(np.array_equal(picture[y : y + side, x : x + side], wanted) for y, x in corners)
    assert picture.shape[0] < 2000
    assert picture.shape[1] < 3000


def test_a_table_is_white_where_it_is_zero():
    picture = table_picture(np.array([[1.0, 0.0], [0.0, -1.0]]), "positions")
    assert tuple(picture[36 + 1, 12 + 1]) != (255, 255, 255)
    assert tuple(picture[36 + 8 + 1, 12 + 1]) == (255, 255, 255)


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize(("shape", "cell"), [((40, 50), (24, 19)), ((8, 16), (26, 56))])
def test_a_matrix_is_drawn_cell_by_cell(shape, cell, weights):
    values = np.random.default_rng(0).uniform(0.01 if weights else -1, 1, shape)
    values[0, 0], values[1, 0], values[2, 0] = 1, np.nan, -np.inf
    values[3, 0] = 0
    picture = matrix_picture(values, ["row"] * shape[0], ["c"] * shape[1], "matrix", weights)
    height, width = shape[0] * cell[0], shape[1] * cell[1]
    body = picture[-30 - height : -30, -12 - width : -12]
    seen = np.nan_to_num(values, neginf=0)
    wanted = colours(np.sqrt(seen)) if weights else colours((seen + 1) / 2, DIVERGING)
    wanted[[1, 2, 3] if weights else [1, 2], 0] = BACKGROUND
    assert np.array_equal(body[:: cell[0], :: cell[1]], wanted)  # the corner of every cell
    numbered = (body[: cell[0], : cell[1]] != body[0, 0]).any()
    assert numbered == (shape == (8, 16))
    assert (body[cell[0] : 2 * cell[0], : cell[1]] == BACKGROUND).all()  # nothing is written where nothing is


def test_a_matrix_of_one_number_has_its_label():
    picture = matrix_picture(np.array([[0.25]]), ["a row"], ["probability"], "one", True)
    assert picture.shape[1] >= 300
    assert tuple(colours(np.array(0.5))) in {tuple(pixel) for pixel in picture.reshape(-1, 3)}
