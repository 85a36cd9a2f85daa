"""Rounding to float16, and its measured effect."""

import torch

from headscope.generation.rounded import measure_rounding, round_to_float16
from tests.conftest import small


def test_matrices_are_what_float16_can_hold_and_the_rest_is_as_it_was():
    model = small()
    before = {name: p.clone() for name, p in model.named_parameters()}
    for name, p in round_to_float16(model).named_parameters():
        wanted = before[name].half().float() if p.ndim > 1 else before[name]
        assert torch.equal(p, wanted), name
        assert torch.equal(model.get_parameter(name), before[name])


def test_what_rounding_moves_is_the_largest_change_of_a_logit():
    model = small().eval()
    texts = torch.randint(11, (2, 16), generator=torch.Generator().manual_seed(0))
    found = measure_rounding(model, texts, torch.tensor([[1]]))
    with torch.no_grad():
        assert found.largest_change == (round_to_float16(model)(texts) - model(texts)).abs().max()
        assert found.is_harmless
        model.head.weight.mul_(1000)
    assert not measure_rounding(model, texts, torch.tensor([[1]])).is_harmless


def test_weights_that_float16_cannot_hold_are_no_reason_to_fail():
    model = small().eval()
    with torch.no_grad():
        model.blocks[0].feedforward.up.weight.mul_(1e6)
    assert not measure_rounding(model, torch.zeros(1, 4, dtype=torch.long), torch.tensor([[1]])).is_harmless
