"""The attention function, the attention layer with its heads, and the cache of keys and values for decoding.

Shapes: B batch, T positions (Tq of queries, Tk of keys), C = d_model, H heads, D = C / H.
"""

from contextlib import nullcontext
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headscope.model.position import Position
from headscope.model.qk_norm import QKNorm

SHORT = 512  #: longest sequence for which, on a CPU, matrix products in bf16 are faster than the fused kernel in fp32


def causal_mask(t_q: int, t_k: int, device: torch.device | None = None) -> Tensor:
    """Returns (Tq, Tk), True where a query may attend; aligned bottom-right, because cached keys precede queries."""
    return torch.ones(t_q, t_k, dtype=torch.bool, device=device).tril(t_k - t_q)


def attention_scores(
    q: Tensor, k: Tensor, *, scale: float | None = None, bias: Tensor | None = None, causal: bool = True
) -> Tensor:
    """Returns scaled, biased and masked scores (..., Tq, Tk), in fp32 or wider, for q (..., Tq, D), k (..., Tk, D).

    `scale` multiplies q·k; the default is 1/√D (Vaswani et al. 2017, eq. 1). The bias is added after scaling, broadcast
    to (..., Tq, Tk). With `causal`, the scores of keys after the query are -inf.
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
    """Returns the softmax of `attention_scores`, (..., Tq, Tk): the weights that `attention` uses internally."""
    return attention_scores(q, k, scale=scale, bias=bias, causal=causal).softmax(-1)


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, bias: Tensor | None = None, causal: bool = True
) -> Tensor:
    """Returns softmax(q kᵀ · scale + bias) v, computed by the fastest correct kernel (Vaswani et al. 2017, eq. 1).

    Takes the arguments of `attention_scores` and the values v (..., Tk, D); returns (..., Tq, D).

    PyTorch's fused kernel needs three precautions:

    - Its causal mask is aligned top-left, which is wrong for queries that follow cached keys. Such queries get an
      explicit mask. A single query needs no mask, because it attends to all keys.
    - A bias requires an explicit mask, which is slower. A bias with one number per key, (..., 1, Tk), needs no mask,
      because it can be passed in additional channels of queries and keys.
    - On a CPU, the kernel's backward pass takes ten times as long in bf16 as in fp32. Short sequences are therefore
      computed in bf16 by plain matrix products, and long ones in fp32.
    """
    t_q, t_k = q.shape[-2], k.shape[-2]
    dtype, width = v.dtype, v.shape[-1]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    q, k = q.to(dtype), k.to(dtype)  # a normalisation or a positional scheme may return fp32
    autocast = torch.is_autocast_enabled(q.device.type)
    # Entering torch.autocast takes longer than the softmax of a small layer, so it is entered only if it has an effect.
    with torch.autocast(q.device.type, enabled=False) if autocast else nullcontext():
        if bias is not None and bias.shape[-2] == 1 and causal and t_q == t_k > 1:
            q, k, bias = *_bias_as_channels(q, k, bias / scale), None
        if q.device.type == "cpu" and dtype == torch.bfloat16 and causal and t_q == t_k <= SHORT:
            return _attention_by_matmul(q, k, v, scale, bias)
        if q.device.type == "cpu" and dtype != torch.float64:
            q, k, v = q.float(), k.float(), v.float()
        if q.shape[-1] > width:
            v = F.pad(v, (0, q.shape[-1] - width))  # the fused kernel requires the same width of q, k and v
        if bias is None and t_q == t_k:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)
        else:
            mask = _bias_with_mask(bias, t_q, t_k, q.device) if causal and t_q > 1 else bias
            mask = mask if mask is None else mask.to(q.dtype)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return out[..., :width].to(dtype)


def _bias_with_mask(bias: Tensor | None, t_q: int, t_k: int, device: torch.device) -> Tensor:
    """Returns the bias, or zeros if there is none, with -inf where a query may not attend: (..., Tq, Tk).

    If the bias has one number per key, the query's own number is subtracted from each row. This does not change the
    softmax, and keeps the numbers small, which limits their rounding errors in 16 bits.
    """
    hidden = torch.full((t_q, t_k), float("-inf"), device=device).triu(t_k - t_q + 1)
    if bias is None:
        return hidden
    if bias.shape[-2] == 1:
        bias = bias - bias[..., t_k - t_q :].mT
    return bias + hidden


def _bias_as_channels(q: Tensor, k: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Returns queries and keys with four additional channels, so that q kᵀ includes the bias (..., 1, T).

    The query's own number is subtracted from each row, which changes no attention weight but keeps scores small. Each
    number is split into a bf16 number and the remainder, which gives 16 significant bits in bf16 instead of 8.
    """
    exact = bias.mT.expand(*k.shape[:-1], 1)  # (..., T, 1)
    high = exact.detach().bfloat16()
    parts = torch.cat((high, (exact - high).to(k.dtype)), -1).to(k.dtype)  # (..., T, 2)
    ones = torch.ones_like(parts)
    return torch.cat((q, ones, -parts.detach()), -1), torch.cat((k, parts, ones), -1)


def _attention_by_matmul(q: Tensor, k: Tensor, v: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """Computes what `attention` computes for causal self-attention, by two matrix products and a softmax."""
    b, h, t, _ = q.shape
    q, k, v = (u.reshape(b * h, t, -1) for u in (q, k, v))  # (B H, T, D) each
    if bias is None:
        mask = torch.full((t, t), float("-inf"), dtype=q.dtype).triu(1)
    else:
        masked = _bias_with_mask(bias, t, t, q.device).to(q.dtype)
        mask = masked.expand(b, h, t, t).reshape(b * h, t, t)
    scores = torch.baddbmm(mask, q, k.mT, alpha=scale)  # (B H, T, T)
    return torch.bmm(scores.softmax(-1), v).view(b, h, t, -1)


class KVCache:
    """Keys and values of up to `length` positions that a layer has processed; allocated on first use.

    Setting `seen` to a smaller number discards later positions.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.seen = 0  #: the number of positions in the cache
        self.k = self.v = torch.empty(0)

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Appends k, v (B, H, T, D); returns all cached keys and values, (B, H, seen, D) each."""
        if self.k.shape[:2] != k.shape[:2]:
            b, h, _, d = k.shape
            self.k, self.v = k.new_empty(b, h, self.length, d), v.new_empty(b, h, self.length, v.shape[-1])
        end = self.seen + k.shape[-2]
        self.k[:, :, self.seen : end] = k
        self.v[:, :, self.seen : end] = v
        self.seen = end
        return self.k[:, :, :end], self.v[:, :, :end]


class Attend(nn.Module):
    """`attention` as a module, so that forward hooks can read the queries, keys and values of a layer."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, scale: float, bias: Tensor | None) -> Tensor:
        """Maps q (B, H, Tq, D), k and v (B, H, Tk, D) to the head outputs (B, H, Tq, D)."""
        return attention(q, k, v, scale=scale, bias=bias)


class MultiHeadAttention(nn.Module):
    """Causal self-attention with `n_heads` heads (Vaswani et al. 2017, sec. 3.2.2). Its linear layers have no bias."""

    def __init__(self, d_model: int, n_heads: int, position: Position, qk_norm: QKNorm | None = None) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.position = position
        self.qk_norm = qk_norm or QKNorm()
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.attend = Attend()
        self.out = nn.Linear(d_model, d_model, bias=False)

    def heads(self, x: Tensor, offset: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Maps x (B, T, C) to queries, keys and values, (B, H, T, D) each, with positions applied."""
        b, t, c = x.shape
        qkv = self.qkv(x).view(b, t, 3, self.n_heads, c // self.n_heads)  # (B, T, 3, H, D)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # (B, H, T, D) each
        q, k = self.qk_norm(q, k)
        q, k = self.position.queries_and_keys(q, k, x, offset)
        return q, k, v

    def score_inputs(self, k: Tensor, offset: int = 0) -> tuple[Tensor, Tensor | None]:
        """Returns the final keys, by which queries are multiplied, and the bias on the scores or None.

        k (B, H, Tk, D) holds all keys that `heads` has returned; the first query is at position `offset`.
        """
        k, bias_of_keys = self.position.keys(k)
        bias = self.position.bias(offset, k.shape[-2] - offset, k.shape[-2])
        if bias is None:
            return k, bias_of_keys
        bias = bias.to(k.device)  # a plugin's hook may compute it from `torch.arange`, on the CPU
        return k, bias if bias_of_keys is None else bias + bias_of_keys

    def merge(self, heads: Tensor) -> Tensor:
        """Maps head outputs (B, H, T, D) to (B, T, C) by the output projection."""
        b, h, t, d = heads.shape
        return cast(Tensor, self.out(heads.transpose(1, 2).reshape(b, t, h * d)))

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """Maps (B, T, C) to (B, T, C). With a cache, x holds the positions after the cached ones."""
        offset = cache.seen if cache else 0
        q, k, v = self.heads(x, offset)
        if cache is not None:
            k, v = cache.extend(k, v)
        k, bias = self.score_inputs(k, offset)
        return self.merge(self.attend(q, k, v, scale=self.position.scale, bias=bias))
