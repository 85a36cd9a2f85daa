"""Plugins' classes for earlier versions: the old constructor and the old names of hooks still work."""

import pytest
import torch
from torch import nn

from headscope.model.feedforward import GELU, FeedForward
from headscope.model.position import Learned, Position, Rotary
from headscope.model.position.rotary import PartialRotary
from headscope.model.transformer import TransformerLM
from headscope.training.optim import split_by_decay
from tests.conftest import small

IDS = torch.randint(11, (2, 16), generator=torch.Generator().manual_seed(0))


class Near(Position):
    """An earlier example of CONTRIBUTING: options are set after `super().__init__`, and weights depend on `layer`."""

    def __init__(self, d_model, n_heads, block_size, layer=None, *, reach=16):
        super().__init__(d_model, n_heads, block_size, layer)
        self.reach = reach
        if layer is not None:
            self.heights = nn.Parameter(torch.zeros(n_heads, reach))

    def bias(self, offset, t_q, t_k):
        i = torch.arange(offset, offset + t_q, device=self.heights.device)
        j = torch.arange(t_k, device=self.heights.device)
        distance = (i[:, None] - j).clamp(0, self.reach - 1)
        return self.heights[:, distance]


def test_a_scheme_with_the_old_constructor_has_the_same_weights_and_caches():
    model = small(Near).eval()
    names = [name for name in model.state_dict() if "position" in name]
    assert names == [f"blocks.{i}.attention.position.heights" for i in range(2)]
    assert model.position.reach == 16
    cache = model.new_cache()
    pieces = [model(part, cache) for part in IDS.split([5, 1, 10], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), model(IDS), atol=1e-5, rtol=1e-5)


class Doubled(Position):
    ways = ("as trained", "twice")
    undecayed = ("matrix",)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if arguments[3] is not None:
            self.matrix = nn.Parameter(torch.eye(8))

    def rotate(self, q, k, x, offset):
        return 2 * q, k @ self.matrix


class HalfRotary(Rotary):
    """Overrides the old name of a hook and calls the same name of the base class."""

    def rotate(self, q, k, x, offset):
        q, k = super().rotate(q, k, x, offset)
        return q / 2, k


class Further(HalfRotary):
    def rotate(self, q, k, x, offset):
        q, k = super().rotate(q, k, x, offset)
        return q, k / 2


class Newer(HalfRotary):
    def queries_and_keys(self, q, k, x, offset):
        q, k = super().queries_and_keys(q, k, x, offset)
        return q, k / 4


class Mixin:
    def rotate(self, q, k, x, offset):
        return q * 0, k


class Mixed(Mixin, Rotary):
    pass


class Unchanged(Rotary):
    pass


class Both(Unchanged, HalfRotary):
    """`Unchanged` overrides no hook, so the hook of `HalfRotary` is used."""


@pytest.mark.parametrize(
    ("scheme", "q_factor", "k_factor"),
    [(HalfRotary, 0.5, 1), (Further, 0.5, 0.5), (Newer, 0.5, 0.25), (Mixed, 0, 1), (Unchanged, 1, 1), (Both, 0.5, 1)],
)
def test_the_old_and_the_new_name_of_a_hook_are_one_hook(scheme, q_factor, k_factor):
    q, k = torch.randn(2, 1, 2, 16, 8)
    rotary, ours = Rotary(16, 2, 16, 0), scheme(16, 2, 16, 0)
    plain_q, plain_k = rotary.queries_and_keys(q, k, q, 0)
    plain_k = k if scheme is Mixed else plain_k
    for hook in (ours.rotate, ours.queries_and_keys):
        found_q, found_k = hook(q, k, q, 0)
        torch.testing.assert_close(found_q, plain_q * q_factor)
        torch.testing.assert_close(found_k, plain_k * k_factor)
    for plain in (Position, Learned, PartialRotary):
        assert plain.rotate is plain.queries_and_keys


def test_old_names_of_attributes():
    model = small(Doubled)
    assert model.position.extension_methods == model.position.ways == ("as trained", "twice")
    assert Rotary.ways == Rotary.extension_methods
    matrix = model.layers()[0].attention.position.matrix
    assert any(p is matrix for p in split_by_decay(model)[1])
    plain = small(Position).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "position" not in k})
    for block in plain.layers():
        block.attention.qkv.weight.data[:16] *= 2
    torch.nn.init.eye_(matrix)
    torch.nn.init.eye_(model.layers()[1].attention.position.matrix)
    torch.testing.assert_close(model.eval()(IDS), plain(IDS))


class Sine(FeedForward):
    undecayed = ("up",)

    def bend(self, x):
        return x.sin()


class Shifted(GELU):
    def bend(self, x):
        return super().bend(x) + 1


def test_a_feed_forward_that_overrides_the_old_name_of_its_activation():
    x = torch.randn(2, 3, 12)
    sine, shifted, gelu = Sine(12), Shifted(12), GELU(12)
    torch.testing.assert_close(sine(x), sine.down(sine.up(x).sin()))
    shifted.load_state_dict(gelu.state_dict())
    torch.testing.assert_close(shifted(x), gelu.down(gelu.activation(gelu.up(x)) + 1))
    assert Sine.activation is Sine.bend
    assert Sine.no_weight_decay == ("up",)
    assert TransformerLM(11, 16, 2, 1, 16, feedforward=Sine)(IDS).shape == (2, 16, 11)
