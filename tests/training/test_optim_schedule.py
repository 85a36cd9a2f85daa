"""Which weights decay, and the learning rate at each step."""

import pytest
import torch

from headscope.training.optim import AdamW
from headscope.training.schedule import WSD, Constant, Cosine, Linear
from tests.conftest import small


def test_matrices_decay_and_vectors_do_not():
    model = small()
    optimizer = AdamW(model, lr=0.1, weight_decay=0.5)
    decaying = {id(p) for p in optimizer.param_groups[0]["params"]}
    assert optimizer.param_groups[1]["weight_decay"] == 0
    for name, p in model.named_parameters():
        assert (id(p) in decaying) == (p.ndim == 2), name
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))


def test_without_gradient_only_decay_moves_a_weight():
    model = small()
    optimizer = AdamW(model, lr=0.1, weight_decay=0.5)
    before = {k: v.clone() for k, v in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.data, before[name] * (0.95 if p.ndim == 2 else 1))


@pytest.mark.parametrize(
    ("schedule", "middle", "end"),
    [
        (Constant(10), 1.0, 1.0),
        (Linear(10, 0.1), 0.55, 0.1),
        (Cosine(10, 0.1), 0.55, 0.1),
        (WSD(10, 0.1, 0.25), 1.0, 0.1),
        (WSD(10, 0.1, 1.0), 0.55, 0.1),
    ],
)
def test_schedules(schedule, middle, end):
    assert schedule(0, 110) == pytest.approx(0.1)
    assert schedule(9, 110) == schedule(10, 110) == 1.0
    assert schedule(60, 110) == pytest.approx(middle)
    assert schedule(110, 110) == schedule(500, 110) == pytest.approx(end)
    factors = [schedule(s, 110) for s in range(10, 111)]
    assert factors == sorted(factors, reverse=True)
