"""Contributions add up to the logit, and each equals what its part wrote."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from headscope.heads.attribution import attribute, fold_frozen_norm
from headscope.model.position import Position
from headscope.model.transformer import TransformerLM
from tests.conftest import SCHEMES, small
from tests.heads.by_hand import forward, shaken
from tests.model.schemes import ROWS, nowhere

IDS = torch.randint(11, (3, 9), generator=torch.Generator().manual_seed(2))
TOKENS, OTHERS = torch.tensor([4, 0, 10]), torch.tensor([1, 0, 3])


class Rms(nn.Module):
    """RMSNorm without weights."""

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:])


class Length(nn.Module):
    def forward(self, x):
        return F.normalize(x, dim=-1)


@pytest.mark.parametrize("at", [-1, 0, 5])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_contributions_add_up_to_the_logit(scheme, at):
    """The model is in float32, as after loading a checkpoint, and has dropout, which must be off."""
    model = shaken(scheme, n_layers=3, dropout=0.3).float().train()
    found = attribute(model, IDS, TOKENS, at=at)
    assert model.training
    logits = model.eval()(IDS)[range(3), at, TOKENS].detach()
    assert torch.equal(found.logit, logits)
    for row in range(3):
        assert sum(x for _, x in found.named(row)) == pytest.approx(float(logits[row]), abs=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_difference_is_the_difference_of_the_contributions(scheme):
    model = shaken(scheme)
    one, other = attribute(model, IDS, TOKENS), attribute(model, IDS, OTHERS)
    for found, a, b in zip(attribute(model, IDS, TOKENS, OTHERS), one, other, strict=True):
        torch.testing.assert_close(found, a - b)
    assert all(x == 0 for _, x in attribute(model, IDS, TOKENS, OTHERS).named(1))  # row 1 compares a token with itself


@torch.no_grad()
@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_contribution_is_what_its_part_wrote(scheme):
    model, at = shaken(scheme), 6
    x, parts = forward(model, IDS)
    scale = (x[:, at].var(-1, correction=0) + model.norm.eps).sqrt()
    found = attribute(model, IDS, TOKENS, at=at)
    for row, token in enumerate(TOKENS):
        names = dict(found.named(row))
        for name, part in parts.items():
            written = part[row, at] - part[row, at].mean()
            by_hand = written / scale[row] * model.norm.weight @ model.head.weight[token]
            assert names.pop(name) == pytest.approx(float(by_hand), abs=1e-10), name
        assert names.pop("bias of the final norm") == pytest.approx(float(model.norm.bias @ model.head.weight[token]))
        assert names.pop("bias of the output") == pytest.approx(float(model.head.bias[token]))
        assert not names


def test_only_a_table_of_positions_is_a_part_of_its_own():
    for row in ROWS.values():
        adds = row.embed is not nowhere
        assert bool((attribute(shaken(row.scheme), IDS, TOKENS).position != 0).all()) == adds


@pytest.mark.parametrize("norm", [nn.RMSNorm(16), nn.LayerNorm(16, bias=False), Rms(), Length(), nn.Identity()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_norm_with_a_scale_is_frozen(norm, dtype):
    parts = torch.randn(5, 4, 16, generator=torch.Generator().manual_seed(0), dtype=dtype)
    direction = torch.randn(4, 16, generator=torch.Generator().manual_seed(1), dtype=dtype)
    norm = norm.to(dtype)
    x = parts.sum(0)
    reading, bias = fold_frozen_norm(norm, x, direction)
    torch.testing.assert_close((parts * reading).sum((0, 2)) + bias, (norm(x) * direction).sum(-1))
    model = small()
    model.norm = norm.float()
    found = attribute(model, IDS, TOKENS)
    assert sum(x for _, x in found.named()) == pytest.approx(float(found.logit[0]), abs=1e-5)


def test_a_norm_without_a_scale_is_refused():
    with pytest.raises(ValueError, match="Tanh is not a linear map divided by a scale, plus a bias"):
        fold_frozen_norm(nn.Tanh(), *torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0)))


def test_what_does_not_add_up_is_refused():
    class Capped(TransformerLM):
        def forward(self, ids, cache=None):
            return 5 * torch.tanh(super().forward(ids, cache) / 5)

    torch.manual_seed(0)
    model = Capped(11, 16, 2, 2, 16, 0.0, Position)
    nn.init.normal_(model.head.weight)
    with pytest.raises(ValueError, match="do not add up to the logit"):
        attribute(model, IDS, TOKENS)
