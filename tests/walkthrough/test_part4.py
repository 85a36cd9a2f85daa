"""The walk part4 shows the document's example, table, block and number of parameters."""

import re

import numpy as np
import torch

from headscope.walkthrough import part4
from tests.walkthrough.reference import agree, attend, double, matrices, shown, warned


def test_the_example_again_in_float64():
    for seed in (42, 1):
        torch.manual_seed(seed)
        x = double(torch.randn(1, 3, 4))[0]
        free, masked = attend(x, x, x), attend(x, x, x, causal=True)
        expected = {
            "embeddings": x,
            "scores": free["scores"],
            "scaled scores": free["scaled"],
            "weights": free["weights"],
            "output": free["output"],
            "masked scores": masked["masked"],
            "masked weights": masked["weights"],
            "masked output": masked["output"],
        }
        result = part4.WALK.run(seed)
        agree(result, expected, 1e-6)
        assert matrices(result).keys() - expected.keys() == {"sinusoidal positions", "tour of a block", "parameters"}


def test_the_sinusoidal_table():
    shown = matrices(part4.WALK.run(42))["sinusoidal positions"]  # (32 channels, 50 positions)
    rates = np.exp(np.arange(0, 64, 2) * (-np.log(10000) / 64))  # as the document lists them
    table = np.zeros((100, 64))
    table[:, 0::2] = np.sin(np.arange(100)[:, None] * rates)
    table[:, 1::2] = np.cos(np.arange(100)[:, None] * rates)
    np.testing.assert_allclose(shown, table[:50, :32].T, atol=1e-6)
    np.testing.assert_allclose(shown[:6, 1], [0.841471, 0.540302, 0.681561, 0.731761, 0.533168, 0.846009], atol=1e-6)


def test_where_the_parameters_sit():
    step = shown(part4.WALK.run(42), "parameters")
    counts = dict(zip(step.rows, step.values[:, 0].tolist(), strict=True))
    assert counts == {
        "embedding": 65 * 256,
        "norm1": 6 * 2 * 256,
        "attention.qkv": 6 * 3 * 256 * 256,
        "attention.out": 6 * 256 * 256,
        "norm2": 6 * 2 * 256,
        "feedforward.up": 6 * (1024 * 256 + 1024),
        "feedforward.down": 6 * (256 * 1024 + 256),
        "norm": 2 * 256,
        "head": 65 * 256 + 65,
        "all": 4_766_273,
    }
    assert step.cells[-1] == ["4,766,273"]


def test_the_tour_is_the_block_itself():
    result = part4.WALK.run(42)
    notice = next(s.notice for s in result.steps if s.matrices[0].title == "tour of a block")
    assert float(re.search(r"as a whole; the largest difference is (\S+)\. ", notice).group(1)) < 1e-5
    step = shown(result, "tour of a block")
    shapes = dict(zip(step.rows, (note.split("  ")[0] for note in step.notes), strict=True))
    assert shapes["queries"] == "(1, 8, 3, 32)"
    assert shapes["weights"] == "(1, 8, 3, 3)"
    assert shapes["up"] == "(1, 3, 1024)"
    assert shapes["x"] == shapes["out"] == "(1, 3, 256)"


def test_what_goes_wrong_is_counted():
    expected = warned(part4.WALK.run(42))
    batches = -(-(1_115_394 - 128) // 64)
    assert f"{500 * batches:,} steps, 8.7 million" in expected
    assert "about 400K" in expected
    assert "4,766,273" in expected
