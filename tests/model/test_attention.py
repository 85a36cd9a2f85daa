"""The attention function compared with an explicit softmax, and its cache."""

import numpy as np
import pytest
import torch

from headscope.model.attention import KVCache, MultiHeadAttention, attention, attention_weights, causal_mask
from headscope.model.position import ALiBi, Position, Rotary

torch.manual_seed(0)
Q, K, V = torch.randn(3, 2, 4, 7, 8).double()
BIAS = torch.randn(4, 7, 7).double()


def softmax_attention(q, k, v, scale, bias, causal):
    """Computes attention from its definition, in NumPy and float64."""
    q, k, v = (x.numpy() for x in (q, k, v))
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) * scale
    if bias is not None:
        scores = scores + bias.numpy()
    if causal:
        t_q, t_k = scores.shape[-2:]
        future = np.arange(t_k)[None] > np.arange(t_q)[:, None] + t_k - t_q
        scores = np.where(future, -np.inf, scores)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    a = e / e.sum(-1, keepdims=True)
    return a, a @ v


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("bias", [None, BIAS])
@pytest.mark.parametrize("t_q", [7, 3, 1])
@pytest.mark.parametrize("scale", [8**-0.5, 0.2])
def test_fused_equals_explicit_softmax(causal, bias, t_q, scale):
    q = Q[:, :, -t_q:]
    bias = None if bias is None else bias[:, -t_q:]
    weights, out = softmax_attention(q, K, V, scale, bias, causal)
    ours = attention(q, K, V, scale=scale, bias=bias, causal=causal)
    np.testing.assert_allclose(ours.numpy(), out, atol=1e-12)
    shown = attention_weights(q, K, scale=scale, bias=bias, causal=causal)
    np.testing.assert_allclose(shown.numpy(), weights, atol=1e-12)
    np.testing.assert_allclose(shown.sum(-1).numpy(), 1, atol=1e-6)


def test_default_scale_is_one_over_root_d():
    torch.testing.assert_close(attention(Q, K, V), attention(Q, K, V, scale=8**-0.5))


def test_causal_mask_is_aligned_to_the_last_key():
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True, True, True, True]]


def test_bf16_keeps_its_dtype():
    out = attention(*(x.bfloat16() for x in (Q, K, V)))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), attention(Q, K, V), atol=0.05, rtol=0)


@pytest.mark.parametrize("t", [1, 7, 64])
@pytest.mark.parametrize("scale", [None, 0.2])
def test_bf16_on_a_cpu_equals_an_explicit_softmax_forward_and_backward(t, scale):
    """Compares matrix products with the fused kernel. q and k may be fp32, because a normalisation returns fp32."""
    torch.manual_seed(1)
    q, k, v, gradient = torch.randn(4, 16, 4, t, 32)
    q, k, v = (u.bfloat16().float().requires_grad_() for u in (q, k, v))
    out = attention(q, k, v.bfloat16(), scale=scale)
    assert out.dtype == torch.bfloat16
    _, wanted = softmax_attention(*(u.detach() for u in (q, k, v)), scale or 32**-0.5, None, True)
    np.testing.assert_allclose(out.float().detach().numpy(), wanted, atol=0.02, rtol=0.02)
    got = torch.autograd.grad(out, (q, k, v), gradient.bfloat16())
    explicit = attention_weights(q, k, scale=scale) @ v
    for ours, exact in zip(got, torch.autograd.grad(explicit, (q, k, v), gradient), strict=True):
        assert (ours - exact).norm() < 0.02 * exact.norm().clamp(min=1e-3)


@pytest.mark.parametrize("scheme", [Position, Rotary, ALiBi])
def test_a_cache_changes_nothing(scheme):
    layer = MultiHeadAttention(16, 2, scheme(16, 2, 8, 0))
    x = torch.randn(2, 8, 16)
    cache = KVCache(8)
    pieces = [layer(part, cache) for part in x.split([3, 1, 2, 1, 1], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), layer(x))
