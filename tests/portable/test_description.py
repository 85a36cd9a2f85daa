"""A description gives the same logits as its model, and a part that cannot be described is refused by name."""

import pytest
import torch
from torch import nn

from headscope.model.feedforward import GELU, FeedForward, SquaredReLU, SwiGLU
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import ALiBi, Position, Rotary, Sinusoidal
from headscope.model.position.biases import by_distance
from headscope.model.position.rotary import PartialRotary
from headscope.model.qk_norm import QKNorm, Unit
from headscope.model.transformer import LanguageModel, TransformerLM
from headscope.portable import NotPortable, describe, refusal
from headscope.portable.forward import forward
from tests.conftest import ON_PAGE, small
from tests.model.schemes import ROWS


def random_model(position=Rotary, feedforward=GELU, qk_norm=QKNorm, d_model=16, n_heads=2):
    torch.manual_seed(0)
    model = TransformerLM(11, d_model, n_heads, 2, 16, 0.1, position, feedforward, qk_norm).eval()
    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    return model


@pytest.mark.parametrize("qk_norm", [QKNorm, Unit])
@pytest.mark.parametrize("feedforward", [GELU, SquaredReLU, SwiGLU])
@pytest.mark.parametrize("position", ON_PAGE)
@torch.no_grad()
def test_a_description_computes_what_the_model_computes(position, feedforward, qk_norm):
    model = random_model(position, feedforward, qk_norm)
    ids = torch.randint(11, (3, 13))
    torch.testing.assert_close(forward(describe(model), ids), model(ids), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.on_page])
@pytest.mark.parametrize("make", [small, random_model, lambda scheme: TransformerLM(11, 16, 2, 2, 16, 0.0, scheme)])
def test_schemes_without_a_description_are_refused_also_before_training(name, make):
    wanted = type(make(ROWS[name].scheme).position).__name__
    assert refusal(make(ROWS[name].scheme).eval()) == f"{wanted} computes something that the page cannot run"


def test_what_is_described_of_each_kind_of_scheme():
    found = describe(small(Sinusoidal).eval())
    assert found["table"].equal(Sinusoidal(16, 2, 16).table())
    assert found["layers"][0]["cos_sin"] is found["layers"][0]["bias"] is None
    found = describe(small(Rotary).eval())
    assert found["table"] is None
    assert found["layers"][1]["cos_sin"].equal(Rotary(16, 2, 16, 1).cos_sin)
    found = describe(small(PartialRotary).eval())["layers"][0]["cos_sin"]
    assert found[:, :2].equal(PartialRotary(16, 2, 16, 0).cos_sin)
    assert found[:, 2:].equal(torch.tensor([1.0, 0.0]).expand(16, 2, 2)), "pairs that do not rotate"
    layer = describe(small(ALiBi).eval())["layers"][0]
    assert layer["bias"].equal(-ALiBi.slopes_of(2)[:, None] * torch.arange(16))
    assert layer["scale"] == 8**-0.5


def test_each_feed_forward_is_recognised_before_training():
    for kind, curve in ((GELU, "gelu"), (SquaredReLU, "squared relu"), (SwiGLU, "silu")):
        part = describe(TransformerLM(11, 16, 2, 1, 16, feedforward=kind).eval())["layers"][0]["feedforward"]
        assert part["curve"] == curve
        assert (part["gate"] is not None) == (kind is SwiGLU)


class Nested(Position):
    """A plugin's scheme that rotates through another scheme, and whose bias has the shape (Tq, Tk)."""

    def init_layer(self, layer):
        self.whole = Rotary(self.d_model, self.n_heads, self.block_size, layer)

    def queries_and_keys(self, q, k, x, offset):
        return self.whole.queries_and_keys(q, k, x, offset)

    def bias(self, offset, t_q, t_k):
        return by_distance(-torch.arange(t_k).sqrt()[None], offset, t_q)[0]


class Additive(Position):
    """Adds the same number to all keys of a query, which has no effect, and hides distant keys."""

    def bias(self, offset, t_q, t_k):
        i, j = torch.arange(offset, offset + t_q)[:, None], torch.arange(t_k)
        return torch.zeros(t_q, t_k).masked_fill(i - j > 3, -torch.inf) + i.cos()


@pytest.mark.parametrize("scheme", [Nested, Additive])
@torch.no_grad()
def test_schemes_of_plugins_are_described_from_their_hooks(scheme):
    model = random_model(scheme)
    ids = torch.randint(11, (3, 16))
    torch.testing.assert_close(forward(describe(model), ids), model(ids), atol=1e-4, rtol=1e-4)


class Bent(Position):
    def queries_and_keys(self, q, k, x, offset):
        return q.tanh(), k


class HeadsDiffer(Position):
    def queries_and_keys(self, q, k, x, offset):
        return q * torch.arange(1, q.shape[1] + 1)[:, None, None], k


class LooksAtX(Position):
    def queries_and_keys(self, q, k, x, offset):
        return q * (1 + x.mean(-1))[:, None, :, None], k


class ByPosition(Position):
    def bias(self, offset, t_q, t_k):
        return torch.arange(t_k).cos()[None]


class Multiplies(Position):
    def embed(self, x, offset):
        return x * 2


class Odd(GELU):
    def activation(self, x):
        return x.sin()


class Residual(GELU):
    def forward(self, x):
        return super().forward(x) + x


class ForwardAlone(FeedForward):
    def forward(self, x):
        return self.down(self.up(x).sin())


class Absolute(QKNorm):
    def forward(self, q, k):
        return q.abs(), k


@pytest.mark.parametrize(
    ("place", "part"),
    [
        *(("position", scheme) for scheme in (Bent, HeadsDiffer, LooksAtX, ByPosition, Multiplies)),
        *(("feedforward", kind) for kind in (Odd, Residual, ForwardAlone)),
        ("qk_norm", Absolute),
    ],
)
def test_a_part_that_a_description_cannot_express_is_refused_by_name(place, part):
    for model in (random_model(**{place: part}), TransformerLM(11, 16, 2, 2, 16, **{place: part}).eval()):
        with pytest.raises(NotPortable, match=f"{part.__name__} computes something that the page cannot run"):
            describe(model)


def test_a_model_that_computes_something_else_is_refused_although_its_parts_are_known():
    class Twice(TransformerLM):
        def forward(self, ids, cache=None):
            return 2 * super().forward(ids, cache)

    torch.manual_seed(0)
    model = Twice(11, 16, 2, 2, 16).eval()
    nn.init.normal_(model.head.weight)
    assert refusal(model).startswith("Twice computes")
    model.norm = nn.RMSNorm(16)
    assert refusal(model).startswith("RMSNorm computes")


@torch.no_grad()
def test_the_fixed_context():
    torch.manual_seed(0)
    model = FixedContextMLP(11, 5, 4, 8, 16).eval()
    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    ids = torch.randint(11, (3, 13))
    torch.testing.assert_close(forward(describe(model), ids), model(ids))


def test_a_model_class_of_a_plugin_can_describe_itself_and_is_verified():
    class Wrapped(LanguageModel):
        def __init__(self, inner, factor):
            super().__init__()
            self.inner, self.factor = inner, factor
            self.vocab_size, self.block_size = inner.vocab_size, inner.block_size

        def forward(self, ids):
            return self.factor * self.inner(ids)

        def made_of(self):
            return describe(self.inner)

    class Silent(LanguageModel):
        pass

    assert refusal(Wrapped(random_model(), 1)) == ""
    assert refusal(Wrapped(random_model(), 2)).startswith("Wrapped computes")
    assert refusal(Silent()).startswith("Silent computes")
