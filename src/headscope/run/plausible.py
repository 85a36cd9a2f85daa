"""Decides whether the final validation loss of a run is plausible. Imports no torch, because a sweep uses it.

A step that is far too large can end at a loss of 0. On `experiment=toy` with `optimizer.lr=1e30`, the first step moves
the unembedding to 1e30, so the softmax saturates: every target gets a probability of exactly 1 and no gradient.
"""

import math
from collections.abc import Mapping
from typing import Any

#: A loss below `RESOLUTION` is plausible only if no weight is larger. Toy has memorised its text with weights up to 6
#: after 6,000 steps; the smallest learning rate that saturates its softmax in one step, 100, gives weights from 68.
LARGEST_WEIGHT = 30.0
RESOLUTION = 2.0**-23  #: the smallest loss of a token above 0 in float32, in nats
#: How far a loss may be below the optimum, in nats per token. The optimum is measured on the validation tokens, of
#: which there are at least 512. By Markov's inequality for the likelihood ratio, a model that knows no more than the
#: rule is further below it with a probability of at most exp(-512 · 0.05), about 1e-11.
TOLERANCE = 0.05


def why_implausible(summary: Mapping[str, Any]) -> str:
    """Returns why the loss in a summary cannot be the result of learning; empty if it can, or if it is not finite."""
    loss, optimum = summary.get("val_loss"), summary.get("optimum")
    if loss is None or not math.isfinite(loss):
        return ""
    if summary.get("finite_weights") is False:
        return "some weights are not finite"
    if loss < RESOLUTION and summary.get("largest_weight", math.inf) > LARGEST_WEIGHT:
        return "every target has a probability of exactly 1, because the weights have grown far too large"
    if optimum is not None and loss < optimum - TOLERANCE:
        return f"it is below {optimum:.4f}, the lowest possible loss on this data"
    return ""
