"""Each feed-forward, and the normalisation of queries and keys, compared with its formula."""

import pytest
import torch
import torch.nn.functional as F

from headscope.model.feedforward import GELU, SquaredReLU, SwiGLU
from headscope.model.position import Rotary
from headscope.model.qk_norm import QKNorm, Unit
from headscope.model.transformer import TransformerLM

X = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0))


def test_each_kind_computes_its_formula():
    torch.manual_seed(0)
    gelu, relu2, swiglu = GELU(12).double(), SquaredReLU(12).double(), SwiGLU(12).double()
    x = X.double()
    up = x @ gelu.up.weight.T + gelu.up.bias
    by_hand = up * (1 + torch.erf(up / 2**0.5)) / 2
    torch.testing.assert_close(gelu(x), by_hand @ gelu.down.weight.T + gelu.down.bias)
    positive = (x @ relu2.up.weight.T).clamp(min=0)
    torch.testing.assert_close(relu2(x), positive**2 @ relu2.down.weight.T)
    gate = x @ swiglu.gate.weight.T
    torch.testing.assert_close(
        swiglu(x), (gate / (1 + (-gate).exp()) * (x @ swiglu.up.weight.T)) @ swiglu.down.weight.T
    )


def test_the_gradient_of_squared_relu_is_its_own():
    x = torch.tensor([-2.0, -0.0, 0.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(SquaredReLU(1).activation(x).sum(), x)
    assert ours.tolist() == [0, 0, 0, 1, 6]
    wide = X.double().requires_grad_()
    (wanted,) = torch.autograd.grad((F.relu(wide).square() * X).sum(), wide)
    (got,) = torch.autograd.grad((SquaredReLU(1).activation(wide) * X).sum(), wide)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("kind", [SquaredReLU, SwiGLU])
def test_kinds_have_about_the_parameters_of_gelu(kind):
    count = lambda part: sum(p.numel() for p in part.parameters() if p.ndim > 1)  # noqa: E731
    assert count(kind(96)) == count(GELU(96))


def test_unit_queries_and_keys_have_mean_zero_and_length_root_d():
    q, k = Unit()(X.double() * 100, X.double() + 7)
    for u in (q, k):
        torch.testing.assert_close(u.mean(-1), torch.zeros(2, 5).double(), atol=1e-9, rtol=0)
        torch.testing.assert_close(u.norm(dim=-1), torch.full((2, 5), 12**0.5).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(Unit()(X * 100, X)[0], Unit()(X, X)[0], atol=1e-3, rtol=0)
    assert QKNorm()(X, X)[0] is X


def test_scores_of_unit_queries_and_keys_are_bounded():
    torch.manual_seed(0)
    model = TransformerLM(11, 16, 2, 1, 16, position=Rotary, feedforward=SquaredReLU, qk_norm=Unit)
    attn = model.layers()[0].attention
    with torch.no_grad():
        attn.qkv.weight.mul_(1000)
    q, k, _ = attn.heads(torch.randn(2, 16, 16))
    assert (q @ k.mT * attn.position.scale).abs().max() <= 8**0.5 + 1e-4
