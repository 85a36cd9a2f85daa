"""The loss by position, compared with a loop that computes one target at a time."""

import pytest
import torch

from headscope.training.by_position import non_overlapping_losses, sliding_losses
from tests.conftest import small

IDS = torch.randint(11, (101,), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def loss_at(model, place, context):
    """Returns the loss of the token at a position, predicted from exactly `context` tokens before it."""
    logits = model(IDS[None, place - context : place])[0, -1]
    return -logits.log_softmax(-1)[IDS[place]].double()


@pytest.mark.parametrize("t", [7, 16, 40])
def test_each_position_of_windows_side_by_side(t):
    model = small().eval().stretched(40)
    found = non_overlapping_losses(model, IDS, t)
    assert found.shape == (t,)
    for i in range(t):
        slowly = torch.stack([loss_at(model, start + i + 1, i + 1) for start in range(0, 100 // t * t, t)])
        assert found[i].item() == pytest.approx(slowly.mean().item(), abs=1e-5)


def test_sliding_scores_the_same_targets_with_the_context_named():
    model = small().eval().stretched(40)
    found = sliding_losses(model, IDS, [3, 16, 40], 10)
    places = [int(p) for p in torch.linspace(40, 100, 10, dtype=torch.float64)]
    for context, loss in zip([3, 16, 40], found, strict=True):
        slowly = torch.stack([loss_at(model, place, context) for place in places])
        assert loss.item() == pytest.approx(slowly.mean().item(), abs=1e-5)


def test_fewer_targets_than_asked_for_are_all_of_them():
    model = small().eval().stretched(40)
    every = torch.stack([loss_at(model, place, 40) for place in range(40, 101)]).mean()
    assert sliding_losses(model, IDS, [40], 1000).item() == pytest.approx(every.item(), abs=1e-5)
