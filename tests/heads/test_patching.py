"""Patching, compared with a forward pass computed by hand."""

import pytest
import torch

from headscope.errors import UserError
from headscope.heads import patch_heads
from tests.conftest import SCHEMES
from tests.heads.by_hand import forward, shaken

CLEAN, CORRUPT = torch.randint(11, (2, 3, 9), generator=torch.Generator().manual_seed(2))
TOKENS, OTHERS = torch.tensor([4, 0, 10]), torch.tensor([1, 2, 3])


def difference(model, x, at):
    logits = (model.norm(x) @ model.head.weight.T + model.head.bias)[:, at]
    return logits[range(3), TOKENS] - logits[range(3), OTHERS]


@torch.no_grad()
@pytest.mark.parametrize(("position", "at"), [(None, -1), (3, -1), (5, 5)])
@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_both_paths_equal_a_run_by_hand(scheme, n_layers, position, at):
    model = shaken(scheme, n_layers=n_layers)
    found = patch_heads(model, CLEAN, CORRUPT, TOKENS, OTHERS, position, at)
    x, clean = forward(model, CLEAN)
    start = difference(model, x, at)
    y, corrupt = forward(model, CORRUPT)
    torch.testing.assert_close(found.clean, start)
    torch.testing.assert_close(found.corrupt, difference(model, y, at))
    for layer in range(n_layers):
        for head in range(2):
            name = f"L{layer}H{head}"
            write = clean[name].clone()
            here = slice(None) if position is None else position
            write[:, here] = corrupt[name][:, here]
            direct = difference(model, x - clean[name] + write, at) - start
            torch.testing.assert_close(found.direct[layer, :, head], direct, atol=1e-6, rtol=0)
            full = difference(model, forward(model, CLEAN, {name: write})[0], at) - start
            torch.testing.assert_close(found.full[layer, :, head], full, atol=1e-6, rtol=0)


def test_nothing_comes_of_a_later_position_or_of_the_same_prompt():
    model = shaken(n_layers=2)
    for found in (
        patch_heads(model, CLEAN, CORRUPT, TOKENS, OTHERS, 7, 5),
        patch_heads(model, CLEAN, CLEAN, TOKENS, OTHERS),
    ):
        assert float(found.direct.abs().max()) < 1e-12
        assert float(found.full.abs().max()) < 1e-12


def test_an_earlier_position_has_no_direct_path():
    found = patch_heads(shaken(n_layers=2), CLEAN, CORRUPT, TOKENS, OTHERS, 3, 5)
    assert float(found.direct.abs().max()) < 1e-12
    assert float(found.full[0].abs().min()) > 1e-6  # through the second layer, which attends to earlier positions
    assert float(found.full[1].abs().max()) < 1e-12


def test_prompts_of_different_length_are_refused():
    with pytest.raises(
        UserError, match=r"the clean prompt has 9 tokens and the corrupt prompt has 8; .* same number of tokens"
    ):
        patch_heads(shaken(), CLEAN, CORRUPT[:, :8], TOKENS, OTHERS)
