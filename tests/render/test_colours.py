"""Colours become darker with larger weights, on a fixed scale."""

import numpy as np

from headscope.render.colours import BACKGROUND, RAMP, attention_colours, colours


def test_the_scale_is_fixed_and_grows_darker():
    ramp = colours(np.linspace(0, 1, 101)).astype(int)
    assert tuple(ramp[0]) == (255, 255, 255)
    assert tuple(ramp[-1]) == tuple(RAMP[-1].astype(int))
    assert (np.diff(ramp.sum(1)) < 0).all()


def test_masked_weights_are_absent_not_zero():
    rgb = attention_colours(np.eye(3))
    assert tuple(rgb[0, 1]) == BACKGROUND
    assert tuple(rgb[1, 0]) == (255, 255, 255)
    assert tuple(rgb[1, 1]) == tuple(RAMP[-1].astype(int))
