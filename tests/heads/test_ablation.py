"""The cost of removing a head, compared with models computed by hand and with finite differences."""

import pytest
import torch
import torch.nn.functional as F

from headscope.heads import ablation
from headscope.heads.ablation import (
    ablate,
    ablate_groups,
    ablate_last,
    gradient_importance,
    losses,
    mean,
    resample,
    zero,
)
from headscope.heads.capture import Replace, Scale, heads_at, look
from headscope.model.attention import attention
from headscope.model.position import Position
from tests.conftest import SCHEMES, small

IDS = torch.randint(11, (3, 16), generator=torch.Generator().manual_seed(1))
WHERE = torch.rand(3, 15, generator=torch.Generator().manual_seed(4)) < 0.5


def by_hand(model, ids, head, how):
    """Returns the losses of a one-layer model in which one head's output is replaced, computed part by part."""
    (block,) = model.layers()
    x = model.embed(ids)
    q, k, v = block.attention.heads(block.norm1(x))
    k, bias = block.attention.score_inputs(k)
    z = attention(q, k, v, scale=block.attention.position.scale, bias=bias).clone()  # (B, H, T, D)
    if how is zero:
        z[:, head] = 0
    if how is mean:
        z[:, head, 1:] = z[:, head, 1:].reshape(-1, z.shape[-1]).sum(0) / (len(ids) * 15)  # not position 0
    if how is resample:
        z[:, head] = z[[2, 0, 1], head]
    written = torch.cat([z[:, h] for h in range(z.shape[1])], -1) @ block.attention.out.weight.T
    x = x + written
    x = x + block.feedforward(block.norm2(x))
    logits = model.head(model.norm(x))
    return torch.stack([F.cross_entropy(logits[b, :-1], ids[b, 1:], reduction="none") for b in range(len(ids))])


@torch.no_grad()
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("how", [zero, mean, resample])
def test_ablation_equals_a_computation_by_hand(scheme, how):
    model = small(scheme, n_layers=1).double().eval()
    for head in range(2):
        rise = by_hand(model, IDS, head, how) - by_hand(model, IDS, head, None)
        assert rise.abs().max() > 1e-3
        torch.testing.assert_close(ablate(model, IDS, [(0, head)], how), rise, atol=1e-6, rtol=0)


GROUPS = [[(0, 0)], [(1, 1), (0, 1)], [(2, 0)], [(2, 1), (1, 0), (2, 0)], [(0, 0), (0, 1), (1, 0), (1, 1)], [(1, 0)]]


@pytest.mark.parametrize("largest", [2**24, 3000, 1])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_groups_in_few_passes_equal_one_after_the_other(scheme, largest, monkeypatch):
    monkeypatch.setattr(ablation, "LARGEST", largest)  # several groups, or only one, per pass
    model = small(scheme, n_layers=3, dropout=0.5).double()
    rises = ablate_groups(model, IDS, GROUPS, look(model, IDS, "z", "resid"))
    assert rises.shape == (len(GROUPS), 3, 15)
    for group, rise in zip(GROUPS, rises, strict=True):
        assert rise.abs().max() > 1e-6
        torch.testing.assert_close(rise, ablate(model, IDS, group), atol=1e-12, rtol=0)
    assert model.training


@pytest.mark.parametrize("largest", [2**24, 1])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_last_head_of_a_group_in_few_passes_equals_two_ablations(scheme, largest, monkeypatch):
    monkeypatch.setattr(ablation, "LARGEST", largest)
    model, group = small(scheme, n_layers=3, dropout=0.5).double(), [(0, 1), (1, 0), (1, 1), (2, 1)]
    heads = [(1, 1), (0, 1), (2, 1), (1, 0)]
    rises = ablate_last(model, IDS, heads, group, look(model, IDS, "z", "resid"))
    for head, rise in zip(heads, rises, strict=True):
        others = [other for other in group if other != head]
        assert rise.abs().max() > 1e-6
        torch.testing.assert_close(rise, ablate(model, IDS, group) - ablate(model, IDS, others), atol=1e-12, rtol=0)
    assert model.training


def test_a_pass_of_groups_is_bounded_and_starts_at_the_first_layer_of_its_heads(monkeypatch):
    model, passes = small(n_layers=3), []
    cache = look(model, IDS, "z", "resid")
    model.blocks[2].feedforward.register_forward_hook(lambda _m, _a, x: passes.append(len(x) // len(IDS)))
    model.blocks[0].feedforward.register_forward_hook(lambda _m, _a, _x: passes.append("from layer 0"))
    per_group = IDS.numel() * (model.vocab_size + ablation.FACTOR * model.d_model)
    monkeypatch.setattr(ablation, "LARGEST", 2 * per_group)
    ablate_groups(model, IDS, [[(1, 0)], [(1, 1)], [(1, 0), (2, 0)], [(2, 1)]], cache)
    assert passes == [2, 1, 1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_mean_ablation_leaves_the_first_position_unchanged(scheme):
    model = small(scheme).double()
    cache = look(model, IDS, "z")
    by = mean(cache.z)
    heads = [(0, 0), (0, 1), (1, 1)]
    without = look(model, IDS, "z", "resid", edits=[Replace("z", by, heads_at(model, *heads))])
    assert torch.equal(without.logits[:, 0], cache.logits[:, 0])
    assert (without.logits[:, 1:] != cache.logits[:, 1:]).any(-1).all()
    torch.testing.assert_close(without.z[0].mean((0, 2)), cache.z[0].mean((0, 2)))  # the mean output stays
    assert (ablate(model, IDS, heads)[:, 0] == 0).all()


def test_an_outlier_at_the_first_position_does_not_change_the_mean():
    z = torch.randn(2, 3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    outlier = z.clone()
    outlier[..., 0, :] += 1000
    assert torch.equal(mean(z)[..., 1:, :], mean(outlier)[..., 1:, :])
    assert torch.equal(mean(outlier)[..., 0, :], outlier[..., 0, :])
    assert torch.equal(mean(z[..., :1, :]), z[..., :1, :]), "a text of one token"


def test_losses_are_those_of_the_next_token():
    logits = torch.randn(3, 16, 11)
    ours = losses(logits, IDS)
    for b in range(3):
        for t in range(15):
            expected = -logits[b, t].log_softmax(0)[IDS[b, t + 1]]
            torch.testing.assert_close(ours[b, t], expected)


def test_two_heads_go_together():
    model = small()
    both = ablate(model, IDS, [(0, 1), (1, 0)], zero)
    gates = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    without = look(model, IDS, edits=[Scale(gates)]).logits
    expected = losses(without, IDS) - losses(look(model, IDS).logits, IDS)
    torch.testing.assert_close(both, expected)


def test_a_head_that_writes_nothing_is_worth_nothing():
    model = small()
    with torch.no_grad():
        model.blocks[1].attention.out.weight[:, 8:] = 0
    values = gradient_importance(model, IDS)
    assert values.shape == (2, 2)
    assert values[1, 1] == 0
    assert values[1, 0] != 0
    assert ablate(model, IDS, [(1, 1)], zero).mean() == 0
    assert ablate(model, IDS, [(1, 0)], zero).mean() != 0


def test_a_head_whose_output_never_changes_is_worth_its_constant_alone():
    """If the norm's output is only its bias, all positions have equal values, and their mean changes nothing."""
    model = small(n_layers=1)
    with torch.no_grad():
        model.blocks[0].norm1.weight.zero_()
        model.blocks[0].norm1.bias.normal_()
    for head in range(2):
        torch.testing.assert_close(ablate(model, IDS, [(0, head)], mean).mean(), torch.zeros(()), atol=1e-6, rtol=0)
        assert ablate(model, IDS, [(0, head)], zero).mean().abs() > 1e-3


def test_resampling_needs_another_text():
    with pytest.raises(ValueError, match="at least two texts, not one"):
        ablate(small(), IDS[:1], [(0, 0)], resample)


@pytest.mark.parametrize("where", [None, WHERE, WHERE & torch.tensor([[True], [False], [True]])])
def test_the_gradient_equals_finite_differences(where):
    model = small(Position, dropout=0.5).double()  # RoPE computes in fp32, which is too coarse for finite differences
    chosen = torch.ones(3, 15, dtype=torch.bool) if where is None else where
    used = [b for b in range(3) if chosen[b].any()]

    def means(layer, head, gate):
        gates = torch.ones(2, 2).double()
        gates[layer, head] = gate
        nats = losses(look(model, IDS, edits=[Scale(gates)]).logits, IDS)
        return torch.stack([nats[b][chosen[b]].mean() for b in used])

    expected = torch.zeros(2, 2).double()
    for layer in range(2):
        for head in range(2):
            slope = (means(layer, head, 1 + 1e-4) - means(layer, head, 1 - 1e-4)) / 2e-4
            expected[layer, head] = slope.abs().mean()
    ours = gradient_importance(model, IDS, where)
    torch.testing.assert_close(ours.double(), expected, atol=1e-6, rtol=1e-4)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_a_gradient_in_inference_mode():
    model = small()
    with torch.inference_mode():
        inside = gradient_importance(model, IDS.clone(), WHERE.clone())
    torch.testing.assert_close(inside, gradient_importance(model, IDS, WHERE))
