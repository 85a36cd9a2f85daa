"""A model's description is compared with the weights in its file, quickly and without memory for the model."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn

from headscope.checkpoint.weights import check_shapes
from headscope.model.feedforward import GELU, SquaredReLU, SwiGLU
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Learned, Position
from headscope.model.qk_norm import Unit
from headscope.model.transformer import TransformerLM
from tests.checkpoint.test_checkpoint import save
from tests.conftest import SCHEMES, small

SIZES = {"vocab_size": 11, "d_model": 8, "n_heads": 2, "n_layers": 2, "block_size": 16}
LOADS = """
import sys
import headscope
for path in sys.argv[1:]:
    headscope.load(path)
print("torch._dynamo" in sys.modules)
"""


def test_loading_imports_no_compiler(tmp_path):
    """Importing the compiler takes 0.9 s, and some operations on the meta device make PyTorch import it."""
    models = [small(scheme.values[0]) for scheme in SCHEMES]
    models += [TransformerLM(**SIZES, feedforward=kind, qk_norm=Unit) for kind in (GELU, SquaredReLU, SwiGLU)]
    models.append(FixedContextMLP(11, 3, 4, 16, 12))
    files = [save(model, tmp_path / f"{i}.ckpt") for i, model in enumerate(models)]
    done = subprocess.run([sys.executable, "-c", LOADS, *files], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def described(scheme, **changes):
    return partial(TransformerLM, position=scheme, **(SIZES | changes))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_of_other_sizes_are_refused(scheme):
    weights = described(scheme)().state_dict()
    check_shapes(described(scheme), weights)
    for changes in ({"d_model": 16}, {"n_layers": 1}, {"n_layers": 3}, {"vocab_size": 12}):
        with pytest.raises(ValueError, match="shapes"):
            check_shapes(described(scheme, **changes), weights)
    for name in weights:
        with pytest.raises(ValueError, match="shapes"):
            check_shapes(described(scheme), {k: v for k, v in weights.items() if k != name})


def test_a_learned_table_of_another_length_is_refused():
    weights = described(Learned)().state_dict()
    for block_size in (1, 8, 32):
        with pytest.raises(ValueError, match="shapes"):
            check_shapes(described(Learned, block_size=block_size), weights)


class Between(Position):
    """A plugin's scheme with one weight per distance in both directions; it cannot be built for a single position."""

    def __init__(self, d_model, n_heads, block_size, layer=None):
        super().__init__(d_model, n_heads, block_size, layer)
        if block_size < 2:
            raise ValueError("two positions")
        self.distances = nn.Parameter(torch.randn(2 * block_size - 1))


def test_a_plugins_class_is_compared_too():
    weights = described(Between)().state_dict()
    check_shapes(described(Between), weights)
    with pytest.raises(ValueError, match="shapes"):
        check_shapes(described(Between, block_size=17), weights)


REFUSES = """
import resource, sys
import headscope
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = memory()
for path in sys.argv[1:]:
    try:
        headscope.load(path)
    except headscope.errors.UserError as e:
        assert "damaged" in str(e), e
    else:
        raise SystemExit(f"{path} was loaded")
print(memory() - before)
"""


def test_refusing_a_huge_model_takes_no_memory(tmp_path):
    saved = torch.load(save(TransformerLM(**SIZES), tmp_path / "a.ckpt"), weights_only=True)
    card, files = saved["headscope"], []
    for changes in ({"block_size": 1 << 17, "d_model": 1 << 10}, {"block_size": 1 << 40}, {"d_model": 1 << 30}):
        files.append(tmp_path / f"{len(files)}.ckpt")
        torch.save(saved | {"headscope": card | {"model": card["model"] | changes}}, files[-1])
    done = subprocess.run([sys.executable, "-c", REFUSES, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # In kB. Most of this is PyTorch's compiler. The first table of positions alone would need 512 MB.
    assert int(done.stdout) < 200 * 1024
