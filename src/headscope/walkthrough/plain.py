"""Attention as short functions that the walks run and show. Shapes: T positions, C channels, D head width."""

import math

import torch
from torch import Tensor
from torch.nn import Linear

QKV = tuple[Tensor, Tensor, Tensor]


def project(x: Tensor, wq: Linear, wk: Linear, wv: Linear) -> QKV:
    return wq(x), wk(x), wv(x)  # x Wᵀ: (T, C) @ (C, D) gives (T, D)


def compare(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-2, -1)  # (T, D) @ (D, T) gives (T, T)


def scale(scores: Tensor, width: int) -> Tensor:
    return scores / math.sqrt(width)


def hide_later(scores: Tensor) -> Tensor:
    later = torch.ones(scores.shape[-2:]).triu(1).bool()  # (T, T)
    return scores.masked_fill(later, float("-inf"))


def weigh(scores: Tensor) -> Tensor:
    return scores.softmax(-1)  # every row adds up to 1


def weight_values(weights: Tensor, v: Tensor) -> Tensor:
    return weights[..., None] * v  # (T, 1) * (T, D) gives (T, D)


def mix(weights: Tensor, v: Tensor) -> Tensor:
    return weights @ v  # (T, T) @ (T, D) gives (T, D)
