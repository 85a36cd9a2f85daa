"""The walk friends shows every intermediate matrix."""

import re

import numpy as np
import pytest
import torch

from headscope.walkthrough import friends
from tests.walkthrough.reference import agree, attend, double, matrices, warned


@pytest.mark.parametrize("seed", [0, 7])
def test_every_number_again_in_float64(seed):
    torch.manual_seed(seed)
    w_q, w_k, w_v = (double(torch.nn.Linear(3, 3, bias=False).weight) for _ in range(3))
    x = np.array([[0.2, 0.4, 0.6], [0.1, 0.3, 0.5], [0.9, 0.1, 0.2], [0.7, 0.5, 0.9]])
    q, k, v = x @ w_q.T, x @ w_k.T, x @ w_v.T
    right = attend(q, k, v)
    expected = {
        "embeddings": x,
        "projections": np.concatenate((w_q, w_k, w_v)),
        "queries": q,
        "keys": k,
        "values": v,
        "scores": right["scores"],
        "scaled scores": right["scaled"],
        "weights": right["weights"],
        "row sums": np.ones(4),
        "weighted values": right["weights"][0, :, None] * v,
        "output": right["output"],
    }
    result = friends.WALK.run(seed)
    agree(result, expected, 1e-6)
    assert {title for title in matrices(result).keys() - expected.keys() if not title.startswith("chosen ")} == set()


def test_the_mistakes_count():
    result = friends.WALK.run(0)
    weights = matrices(result)["weights"]
    low, high = (float(x) for x in re.search(r"range from (\S+) to (\S+), all close", warned(result)).groups())
    assert low == pytest.approx(weights.min(), abs=6e-5)
    assert high == pytest.approx(weights.max(), abs=6e-5)
    assert "weight of 1.0000 instead of" in warned(result)
