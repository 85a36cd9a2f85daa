"""Attention: the function, its weights made visible, the layer with its heads, and the cache for decoding.

Shapes: B batch, T positions (Tq of queries, Tk of keys), C = d_model, H heads, D = C / H.
"""

from contextlib import nullcontext
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headscope.model.position import Position
from headscope.model.qk_norm import QKNorm

SHORT = 512  #: positions up to which plain products beat the fused kernel in bf16 on a CPU, forward and backward


def causal_mask(t_q: int, t_k: int, device: torch.device | None = None) -> Tensor:
    """(Tq, Tk), True where a query may look. The last query sees the last key: right when keys are cached."""
    return torch.ones(t_q, t_k, dtype=torch.bool, device=device).tril(t_k - t_q)


def attention_scores(
    q: Tensor, k: Tensor, *, scale: float | None = None, bias: Tensor | None = None, causal: bool = True
) -> Tensor:
    """Scaled, biased and masked scores, in fp32 at least.

    Args:
        q: queries (..., Tq, D).
        k: keys (..., Tk, D).
        scale: factor on q·k; None is 1/√D (Vaswani et al. 2017, eq. 1).
        bias: added after scaling, broadcast to (..., Tq, Tk).
        causal: a query sees no later key; hidden scores are -inf.

    Returns:
        (..., Tq, Tk).
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    dtype = torch.promote_types(q.dtype, torch.float32)
    scores = q.to(dtype) @ k.to(dtype).transpose(-2, -1) * scale  # (..., Tq, Tk)
    if bias is not None:
        scores = scores + bias
    if causal:
        scores = scores.masked_fill(~causal_mask(q.shape[-2], k.shape[-2], q.device), float("-inf"))
    return scores


def attention_weights(
    q: Tensor, k: Tensor, *, scale: float | None = None, bias: Tensor | None = None, causal: bool = True
) -> Tensor:
    """The softmax of `attention_scores`: (..., Tq, Tk), rows sum to one. What `attention` uses and does not show."""
    return attention_scores(q, k, scale=scale, bias=bias, causal=causal).softmax(-1)


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, bias: Tensor | None = None, causal: bool = True
) -> Tensor:
    """softmax(q kᵀ · scale + bias) v by PyTorch's fused kernels (Vaswani et al. 2017, eq. 1).

    Arguments as in `attention_scores`, and v: values (..., Tk, D). Returns (..., Tq, D).

    The fused causal kernel is kept wherever it is right: it aligns its mask top-left, which is wrong for a chunk of
    queries behind cached keys. A bias of one number a key, (..., 1, Tk), keeps it too, as channels of the keys. On the
    CPU, the bf16 backward of its kernel is ten times slower than that in fp32: short sequences take three plain
    products in bf16 instead, everything else is lifted to fp32.
    """
    t_q, t_k = q.shape[-2], k.shape[-2]
    dtype, width = v.dtype, v.shape[-1]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    q, k = q.to(dtype), k.to(dtype)  # a norm or a scheme may have left them in fp32
    autocast = torch.is_autocast_enabled(q.device.type)
    # Entering a context costs a small model more than a layer's softmax: only where there is something to switch off.
    with torch.autocast(q.device.type, enabled=False) if autocast else nullcontext():
        if bias is not None and bias.shape[-2] == 1 and causal and t_q == t_k > 1:
            q, k, bias = *_with_channels(q, k, bias / scale), None
        if q.device.type == "cpu" and dtype == torch.bfloat16 and causal and t_q == t_k <= SHORT:
            return _in_three_products(q, k, v, scale, bias)
        if q.device.type == "cpu" and dtype != torch.float64:
            q, k, v = q.float(), k.float(), v.float()
        if q.shape[-1] > width:
            v = F.pad(v, (0, q.shape[-1] - width))  # the fused kernel has one width for all three
        if bias is None and t_q == t_k:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)
        else:
            mask = _masked(bias, t_q, t_k, q.device) if causal and t_q > 1 else bias
            mask = mask if mask is None else mask.to(q.dtype)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return out[..., :width].to(dtype)


def _masked(bias: Tensor | None, t_q: int, t_k: int, device: torch.device) -> Tensor:
    """A bias with -inf where a query may not look, (..., Tq, Tk); without one, 0 where it may.

    One number a key is taken relative to the query's own key: it may grow with the text, and what is near must stay
    exact in 16 bits.
    """
    hidden = torch.full((t_q, t_k), float("-inf"), device=device).triu(t_k - t_q + 1)
    if bias is None:
        return hidden
    if bias.shape[-2] == 1:
        bias = bias - bias[..., t_k - t_q :].mT
    return bias + hidden


def _with_channels(q: Tensor, k: Tensor, by_key: Tensor) -> tuple[Tensor, Tensor]:
    """Four channels more: q kᵀ gains a number a key, by_key (..., 1, T), less that of the query's own key.

    What is the same for all keys of a query changes no weight and has no gradient; without it, scores stay small. Each
    number is a sum of two: what bf16 holds of it, and the rest, so that in bf16 it has 16 bits in place of 8.
    """
    whole = by_key.mT.expand(*k.shape[:-1], 1)  # (..., T, 1)
    high = whole.detach().bfloat16()
    parts = torch.cat((high, (whole - high).to(k.dtype)), -1).to(k.dtype)  # (..., T, 2)
    ones = torch.ones_like(parts)
    return torch.cat((q, ones, -parts.detach()), -1), torch.cat((k, parts, ones), -1)


def _in_three_products(q: Tensor, k: Tensor, v: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """Causal attention of a sequence with itself: scores with bias and mask, softmax, values; arguments as above."""
    b, h, t, _ = q.shape
    q, k, v = (u.reshape(b * h, t, -1) for u in (q, k, v))  # (B H, T, D) each
    if bias is None:
        start = torch.full((t, t), float("-inf"), dtype=q.dtype).triu(1)
    else:
        masked = _masked(bias, t, t, q.device).to(q.dtype)
        start = masked.expand(b, h, t, t).reshape(b * h, t, t)
    scores = torch.baddbmm(start, q, k.mT, alpha=scale)  # (B H, T, T)
    return torch.bmm(scores.softmax(-1), v).view(b, h, t, -1)


class KVCache:
    """Keys and values of the positions one layer has seen: room for `length` of them, allocated at the first use.

    With a smaller `seen`, later positions are forgotten, and their room is used again.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.seen = 0
        self.k = self.v = torch.empty(0)

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Adds k, v (B, H, T, D); returns all of them so far, (B, H, seen, D) each."""
        if self.k.shape[:2] != k.shape[:2]:
            b, h, _, d = k.shape
            self.k, self.v = k.new_empty(b, h, self.length, d), v.new_empty(b, h, self.length, v.shape[-1])
        end = self.seen + k.shape[-2]
        self.k[:, :, self.seen : end] = k
        self.v[:, :, self.seen : end] = v
        self.seen = end
        return self.k[:, :, :end], self.v[:, :, :end]


class Attend(nn.Module):
    """`attention` as a module: hooks on it see the queries, keys and values that a layer really uses."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, scale: float, bias: Tensor | None) -> Tensor:
        """(B, H, Tq, D), (B, H, Tk, D) twice, to (B, H, Tq, D)."""
        return attention(q, k, v, scale=scale, bias=bias)


class MultiHeadAttention(nn.Module):
    """Causal self-attention in `n_heads` heads side by side (Vaswani et al. 2017, section 3.2.2), without biases.

    Args:
        d_model: C.
        n_heads: H, a divisor of C.
        position: what this layer does about order.
        qk_norm: what it does to the length of queries and keys; None leaves them.
    """

    def __init__(self, d_model: int, n_heads: int, position: Position, qk_norm: QKNorm | None = None) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.position = position
        self.qk_norm = qk_norm or QKNorm()
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.attend = Attend()
        self.out = nn.Linear(d_model, d_model, bias=False)

    def heads(self, x: Tensor, offset: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, C) to q, k, v of every head, (B, H, T, D) each, with positions applied."""
        b, t, c = x.shape
        qkv = self.qkv(x).view(b, t, 3, self.n_heads, c // self.n_heads)  # (B, T, 3, H, D)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # (B, H, T, D) each
        q, k = self.qk_norm(q, k)
        q, k = self.position.rotate(q, k, x, offset)
        return q, k, v

    def score_inputs(self, k: Tensor, offset: int = 0) -> tuple[Tensor, Tensor | None]:
        """All keys so far to those that the queries from `offset` on meet, and the bias of their scores or None."""
        k, further = self.position.keys(k)
        bias = self.position.bias(offset, k.shape[-2] - offset, k.shape[-2])
        return k, further if bias is None else bias if further is None else bias + further

    def merge(self, heads: Tensor) -> Tensor:
        """Outputs of the heads (B, H, T, D) to (B, T, C), through the output projection."""
        b, h, t, d = heads.shape
        return cast(Tensor, self.out(heads.transpose(1, 2).reshape(b, t, h * d)))

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) to (B, T, C). With a cache, x holds the positions that follow those already seen."""
        offset = cache.seen if cache else 0
        q, k, v = self.heads(x, offset)
        if cache is not None:
            k, v = cache.extend(k, v)
        k, bias = self.score_inputs(k, offset)
        return self.merge(self.attend(q, k, v, scale=self.position.scale, bias=bias))
