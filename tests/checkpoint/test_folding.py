"""A folded bias gives the same output as the original bias, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from headscope.checkpoint.hf_layout import fold_into_norm, fold_into_values


@pytest.mark.parametrize("rows", [1, 8, 65, 1000])
@pytest.mark.parametrize("channels", [2, 64, 768])
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_a_bias_of_any_size_can_be_folded_into_the_norm_before(rows, channels, scale):
    torch.manual_seed(rows + channels)
    w, b = torch.randn(rows, channels) / channels**0.5, scale * torch.randn(rows)
    gamma, beta = torch.randn(channels) + 0.1, torch.randn(channels)
    found, moved, off = fold_into_norm(w, b, gamma, beta)
    z = F.layer_norm(torch.randn(100, channels, dtype=torch.float64), (channels,), eps=1e-5)
    wanted = (z * gamma + beta) @ w.double().T + b
    got = (z * gamma + moved.double()) @ found.double().T
    assert (got - wanted).abs().max() <= 1e-5 * (1 + scale) * channels**0.5
    assert (got - wanted).abs().max() <= 8 * off, "the returned error is a bound, up to a factor"


def test_a_zero_bias_changes_nothing_and_a_zero_weight_of_the_norm_gives_nan():
    w, beta = torch.randn(3, 4), torch.randn(4)
    found, moved, off = fold_into_norm(w, torch.zeros(3), torch.zeros(4), beta)
    assert found is w
    assert moved is beta
    assert off == 0
    assert math.isnan(fold_into_norm(w, torch.ones(3), torch.tensor([1.0, 1.0, 0.0, 1.0]), beta)[2])


def test_a_bias_of_the_output_folds_into_the_values_if_the_projection_has_an_inverse():
    torch.manual_seed(0)
    out, b = torch.randn(16, 16), torch.randn(16)
    more, off = fold_into_values(out, b)
    assert off < 1e-12
    torch.testing.assert_close(out.double() @ more, b.double())
    out[3] = 0
    assert not fold_into_values(out, b)[1] <= 1e-3
