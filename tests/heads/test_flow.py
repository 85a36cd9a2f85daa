"""Rollout and norm-weighted attention, compared with loops over their definitions."""

import pytest
import torch

from headscope.heads.flow import norm_weighted, rollout, views
from tests.conftest import SCHEMES
from tests.heads.by_hand import head_writes, shaken

L, B, H, T, D, C = 3, 2, 4, 7, 5, 6
torch.manual_seed(0)
MAPS = torch.randn(L, B, H, T, T).double().masked_fill(~torch.ones(T, T).tril().bool(), -torch.inf).softmax(-1)


def test_rollout_equals_a_loop():
    rolled = rollout(MAPS)
    for b in range(B):
        so_far = torch.eye(T).tolist()
        for layer in range(L):
            mixed = []
            for i in range(T):
                row = [sum(float(MAPS[layer, b, h, i, j]) for h in range(H)) / H + (i == j) for j in range(T)]
                mixed.append([x / sum(row) for x in row])
            so_far = [[sum(mixed[i][k] * so_far[k][j] for k in range(T)) for j in range(T)] for i in range(T)]
            torch.testing.assert_close(rolled[layer, b], torch.tensor(so_far, dtype=torch.float64), atol=1e-12, rtol=0)


def test_rollout_keeps_sums_and_causality():
    rolled = rollout(MAPS)
    torch.testing.assert_close(rolled.sum(-1), torch.ones(L, B, T).double())
    assert (rolled.triu(1) == 0).all()


def test_heads_that_look_at_themselves_move_nothing():
    here = torch.eye(T).expand(L, B, H, T, T)
    assert torch.equal(rollout(here), torch.eye(T).expand(L, B, T, T))


def test_two_layers_that_look_one_back_leave_a_quarter_two_back():
    back = torch.zeros(T, T)
    back[range(1, T), range(T - 1)] = 1
    back[0, 0] = 1
    after = rollout(back.expand(2, 1, 1, T, T))[-1, 0]
    assert after[4].tolist() == [0, 0, 0.25, 0.5, 0.25, 0, 0]


def test_norm_weighted_equals_a_loop_and_its_vectors_add_up_to_the_output():
    values, out = torch.randn(B, H, T, D).double(), torch.randn(C, H * D).double()
    maps = MAPS[0]
    found = norm_weighted(maps, values, out)
    total = torch.zeros(B, T, C).double()
    for b, h, i, j in torch.cartesian_prod(*map(torch.arange, (B, H, T, T))).tolist():
        moved = maps[b, h, i, j] * (out[:, h * D : (h + 1) * D] @ values[b, h, j])  # (C,)
        assert float(found[b, h, i, j]) == pytest.approx(float(moved.norm()), abs=1e-12)
        total[b, i] += moved
    merged = (maps @ values).transpose(1, 2).flatten(2) @ out.T  # (B, T, H D) to (B, T, C)
    torch.testing.assert_close(total, merged)


@torch.no_grad()
@pytest.mark.parametrize("scheme", SCHEMES)
def test_views_are_of_one_pass_of_the_model(scheme):
    """Position 0 attends only to itself, so the norm that it moves is the norm of the head's whole output."""
    model, ids = shaken(scheme), torch.arange(8).repeat(2, 1)
    seen = views(model, ids)
    torch.testing.assert_close(seen.rolled, rollout(seen.weights))
    assert (seen.moved.triu(1) == 0).all()
    x = model.position.embed(model.embedding(ids), 0)
    for layer, block in enumerate(model.blocks):
        for head, write in enumerate(head_writes(block, x)):
            torch.testing.assert_close(seen.moved[layer, :, head, 0, 0], write[:, 0].norm(dim=-1))
            assert (seen.moved[layer, :, head].sum(-1) >= write.norm(dim=-1) - 1e-9).all()  # by the triangle inequality
        x = block(x)
