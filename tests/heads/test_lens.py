"""After the last layer, the logit lens equals the model; before it, the lens equals a model with fewer layers."""

import pytest
import torch

from headscope.heads import logit_lens
from tests.conftest import SCHEMES
from tests.heads.by_hand import shaken

IDS = torch.randint(11, (3, 9), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_after_the_last_layer_it_is_the_model_to_the_bit(scheme):
    model = shaken(scheme, n_layers=3, dropout=0.3).float()
    assert torch.equal(logit_lens(model.train(), IDS)[-1], model.eval()(IDS))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_after_each_layer_it_is_the_model_without_the_later_ones(scheme):
    model = shaken(scheme, n_layers=3)
    lens = logit_lens(model, IDS)
    assert lens.shape == (4, 3, 9, 11)
    blocks = model.blocks
    for layer in range(4):
        model.blocks = blocks[:layer]
        torch.testing.assert_close(lens[layer], model(IDS))
