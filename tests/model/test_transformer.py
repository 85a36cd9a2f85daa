"""Invariants of the model, for every positional scheme."""

import math

import pytest
import torch
import torch.nn.functional as F

from headscope.data.windows import IGNORE
from headscope.model.position import Rotary, Sinusoidal
from headscope.model.transformer import TransformerLM
from tests.conftest import SCHEMES, small
from tests.model.schemes import ROWS

each_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def test_part4_has_the_parameters_that_its_document_implies():
    """65·256 + 6·(256·768 + 256² + 256·1024 + 1024 + 1024·256 + 256 + 4·256) + 512 + 256·65 + 65."""
    model = TransformerLM(65, 256, 8, 6, 128, 0.1, Sinusoidal)
    assert sum(p.numel() for p in model.parameters()) == 4_766_273


@pytest.mark.parametrize("shape", [(128, 4, 4, 64), (256, 8, 6, 128), (384, 6, 6, 256)])
def test_the_first_loss_is_ln_v(shape):
    d_model, n_heads, n_layers, block_size = shape
    model = TransformerLM(65, d_model, n_heads, n_layers, block_size, 0.0, Rotary)
    ids = torch.randint(65, (4, block_size + 1))
    loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(65), abs=0.05)


@each_scheme
def test_a_future_token_changes_nothing_earlier(scheme):
    model = small(scheme).eval()
    ids = torch.randint(11, (2, 16))
    before = model(ids)
    for t in (1, 7, 15):
        changed = ids.clone()
        changed[:, t:] = (changed[:, t:] + 1) % 11
        after = model(changed)
        torch.testing.assert_close(after[:, :t], before[:, :t])
        assert not torch.allclose(after[:, t], before[:, t])


@each_scheme
def test_padding_changes_nothing(scheme):
    model = small(scheme).eval()
    x, y = torch.randint(11, (1, 6)), torch.randint(11, (1, 6))
    loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=IGNORE)
    for filler in (0, 7):
        longer_x = torch.cat((x, torch.full((1, 5), filler)), 1)
        longer_y = torch.cat((y, torch.full((1, 5), IGNORE)), 1)
        padded = F.cross_entropy(model(longer_x).flatten(0, 1), longer_y.flatten(), ignore_index=IGNORE)
        torch.testing.assert_close(padded, loss)


@each_scheme
def test_cached_equals_uncached(scheme):
    model = small(scheme).eval()
    ids = torch.randint(11, (2, 16))
    cache = model.new_cache()
    pieces = [model(part, cache) for part in ids.split([5, 1, 4, 1, 1, 4], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), model(ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["sinusoidal", "learned", "rope", "alibi", "partial-rope", "partial-rope, key offset", "pope", "t5", "fox"]
)
def test_order_matters_to_a_single_layer(name):
    model = small(ROWS[name].scheme, n_layers=1).eval()
    a, b = torch.tensor([[1, 2, 3]]), torch.tensor([[2, 1, 3]])
    assert not torch.allclose(model(a)[:, -1], model(b)[:, -1])


def test_a_text_longer_than_the_context_is_refused():
    with pytest.raises(ValueError, match="17 tokens do not fit the context: block_size=16"):
        small()(torch.zeros(1, 17, dtype=torch.long))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="8 heads do not divide the width d_model=100; these do: 1, 2, 4"):
        TransformerLM(65, 100, 8, 1, 8)


@each_scheme
def test_half_precision_trains(scheme):
    model = small(scheme)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randint(11, (2, 16)))
    logits.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
