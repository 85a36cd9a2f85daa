"""Positional schemes: a row of numbers each, and what must hold for all.

Golden values: Vaswani et al. 2017 section 3.5 and Press et al. 2022 section 3, computed by hand from their formulas.
"""

import math

import pytest
import torch

from headscope.model.position import ALiBi, Learned, Position, Rotary, Sinusoidal
from tests.conftest import SCHEMES


def test_sinusoidal_golden_values():
    table = Sinusoidal(4, 1, 8).table()
    torch.testing.assert_close(table[1], torch.tensor([0.841471, 0.540302, 0.0099998, 0.999950]), atol=1e-6, rtol=0)


def test_sinusoidal_products_depend_on_the_distance_alone():
    table = Sinusoidal(64, 1, 32).table().double()
    torch.testing.assert_close((table**2).sum(1), torch.full((32,), 32.0).double(), atol=1e-5, rtol=0)
    theta = 10000.0 ** (-torch.arange(0, 64, 2).double() / 64)
    assert float(table[20] @ table[7]) == pytest.approx(float(torch.cos(13 * theta).sum()), abs=1e-4)


def test_rotary_equals_complex_multiplication():
    d, t = 8, 16
    q = torch.randn(2, 3, t, d)
    ours, _ = Rotary(3 * d, 3, t, 0).rotate(q, q, q, 0)
    theta = 10000.0 ** (-torch.arange(0, d, 2).double() / d)
    turn = torch.polar(torch.ones(t, d // 2).double(), torch.outer(torch.arange(t).double(), theta))
    reference = torch.view_as_real(torch.view_as_complex(q.double().unflatten(-1, (-1, 2))) * turn).flatten(-2)
    torch.testing.assert_close(ours.double(), reference, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.norm(dim=-1), q.norm(dim=-1))


def test_rotary_golden_score():
    """q = k = [1, 0, 1, 0], interleaved pairs, d = 4: the score at distance Δ is cos Δ + cos 0.01 Δ."""
    rotary = Rotary(4, 1, 32, 0)
    u = torch.tensor([1.0, 0.0, 1.0, 0.0]).expand(1, 1, 32, 4)
    q, k = rotary.rotate(u, u, u, 0)
    scores = (q @ k.transpose(-1, -2))[0, 0]
    for i, j in [(5, 5), (9, 2), (31, 30), (25, 0)]:
        assert float(scores[i, j]) == pytest.approx(math.cos(i - j) + math.cos(0.01 * (i - j)), abs=1e-5)


def test_rotary_is_interleaved_not_half_split():
    """The two conventions are a permutation of channels apart; mixing them is a recurring bug."""
    d, t = 8, 16
    q = torch.randn(1, 1, t, d)
    ours, _ = Rotary(d, 1, t, 0).rotate(q, q, q, 0)
    theta = 10000.0 ** (-torch.arange(0, d, 2).float() / d)
    angle = torch.outer(torch.arange(t).float(), theta).repeat(1, 2)
    halves = torch.cat((q[..., 0::2], q[..., 1::2]), -1)  # pairs (i, i + d/2)
    turned = halves * angle.cos() + torch.cat((-halves[..., d // 2 :], halves[..., : d // 2]), -1) * angle.sin()
    torch.testing.assert_close(torch.cat((ours[..., 0::2], ours[..., 1::2]), -1), turned, atol=1e-5, rtol=0)
    assert not torch.allclose(ours, turned)


@pytest.mark.parametrize(
    ("n_heads", "slopes"),
    [
        (8, [2**-i for i in range(1, 9)]),
        (4, [0.25, 0.0625, 0.015625, 0.00390625]),
        (6, [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]),
        (12, [*(2**-i for i in range(1, 9)), 0.707107, 0.353553, 0.176777, 0.088388]),
    ],
)
def test_alibi_slopes(n_heads, slopes):
    torch.testing.assert_close(ALiBi.slopes_of(n_heads), torch.tensor(slopes), atol=1e-6, rtol=0)


def test_alibi_lowers_the_score_of_what_is_far():
    bias = ALiBi(8, 2, 8, 0).bias(4, 2, 6)
    assert bias.shape == (2, 2, 6)
    assert bias[0, 0, 4] == 0
    assert bias[0, 0, 0] == pytest.approx(-4 * 2**-4)
    assert bias[1, 1, 3] == pytest.approx(-2 * 2**-8)


def test_learned_has_one_table_and_no_more():
    assert sum(p.numel() for p in Learned(16, 2, 8).parameters()) == 8 * 16
    assert not list(Learned(16, 2, 8, layer=0).parameters())


def test_widths_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="must be even"):
        Rotary(6, 2, 8, 0)
    with pytest.raises(ValueError, match="must be even"):
        Sinusoidal(5, 1, 8)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_hook_keeps_its_shape_and_honours_the_offset(scheme):
    embedding, layer = scheme(16, 2, 12), scheme(16, 2, 12, 0)
    x, q = torch.randn(1, 12, 16), torch.randn(1, 2, 12, 8)
    whole = embedding.embed(x, 0)
    torch.testing.assert_close(embedding.embed(x[:, 5:], 5), whole[:, 5:])
    a, b = layer.rotate(q, q, x, 0)
    c, d = layer.rotate(q[:, :, 5:], q[:, :, 5:], x[:, 5:], 5)
    torch.testing.assert_close(c, a[:, :, 5:])
    torch.testing.assert_close(d, b[:, :, 5:])
    bias = layer.bias(0, 12, 12)
    if bias is not None:
        torch.testing.assert_close(layer.bias(5, 7, 12), bias[:, 5:])
    assert isinstance(layer, Position)
