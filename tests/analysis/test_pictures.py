"""Pictures show the numbers they are given."""

import numpy as np
import pytest

from headscope.analysis.pictures import (
    BACKGROUND,
    RAMP,
    attention_colours,
    colours,
    heads_picture,
    label,
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
