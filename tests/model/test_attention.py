"""The attention function against an explicit softmax, and its cache."""

import numpy as np
import pytest
import torch

from headscope.model.attention import KVCache, MultiHeadAttention, attention, attention_weights, causal_mask
from headscope.model.position import ALiBi, Position, Rotary

torch.manual_seed(0)
Q, K, V = torch.randn(3, 2, 4, 7, 8).double()
BIAS = torch.randn(4, 7, 7).double()


def softmax_attention(q, k, v, scale, bias, causal):
    """Attention in NumPy, float64, with nothing but its definition."""
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


@pytest.mark.parametrize("scheme", [Position, Rotary, ALiBi])
def test_a_cache_changes_nothing(scheme):
    layer = MultiHeadAttention(16, 2, scheme(16, 2, 8, 0))
    x = torch.randn(2, 8, 16)
    cache = KVCache(8)
    pieces = [layer(part, cache) for part in x.split([3, 1, 2, 1, 1], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), layer(x))
