"""What parts say of themselves computes what they compute."""

import pytest
import torch

from headscope.model.feedforward import GELU, FeedForward, SquaredReLU, SwiGLU
from headscope.model.made_of import arithmetic
from headscope.model.qk_norm import QKNorm, Unit
from headscope.model.transformer import TransformerLM
from tests.conftest import ON_PAGE
from tests.model.schemes import ROWS


@pytest.mark.parametrize("qk_norm", [QKNorm, Unit])
@pytest.mark.parametrize("feedforward", [GELU, SquaredReLU, SwiGLU])
@pytest.mark.parametrize("position", ON_PAGE)
@torch.no_grad()
def test_parts_compute_what_the_model_computes(position, feedforward, qk_norm):
    torch.manual_seed(0)
    model = TransformerLM(11, 16, 2, 2, 16, position=position, feedforward=feedforward, qk_norm=qk_norm).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    ids = torch.randint(11, (3, 13))
    torch.testing.assert_close(arithmetic(model.made_of(), ids), model(ids), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.on_page])
def test_schemes_that_tables_cannot_express_say_nothing(name):
    assert TransformerLM(11, 16, 2, 2, 16, position=ROWS[name].scheme).made_of() is None


class Other(FeedForward):
    def activation(self, x):
        return x


def test_a_kind_that_says_nothing_leaves_the_model_without_a_description():
    assert TransformerLM(11, 16, 2, 2, 16).made_of() is not None
    assert TransformerLM(11, 16, 2, 2, 16, feedforward=Other).made_of() is None
