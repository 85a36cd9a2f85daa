"""A model with damaged weights is refused in one line, and no library prints its own errors."""

import pytest
import torch

from headscope.heads.circuits import ov_eigenvalue_score
from tests.checkpoint.test_fields import save
from tests.conftest import shell, small

QKV = "model.blocks.0.attention.qkv.weight"


def everywhere(factor):
    return lambda state: {name: weight * factor for name, weight in state.items()}


DAMAGE = {
    "NaN": everywhere(float("nan")),
    "infinite": everywhere(float("inf")),
    "too large": everywhere(1e30),
    "one row": lambda state: state | {QKV: torch.cat((torch.full((1, 16), float("nan")), state[QKV][1:]))},
    "one matrix": lambda state: state | {QKV: state[QKV] * 1e30},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("show", ["heads", "attention", "attribution"])
def test_it_is_refused_in_one_line(show, damage, tmp_path):
    path = save(tmp_path / "a.ckpt")
    saved = torch.load(path, weights_only=True)
    torch.save(saved | {"state_dict": damage(saved["state_dict"])}, path)
    done = shell("generate.py", f"checkpoint={path}", f"show={show}", "prompt=abcd")
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stdout == ""
    named, error = done.stderr.splitlines()
    assert named == f"run, trained on test: {path}"
    assert error.startswith("error: ")
    assert "not finite" in error
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_a_head_whose_circuit_is_not_finite_has_no_score():
    model = small()
    expected = ov_eigenvalue_score(model, 0)
    model.blocks[0].attention.out.weight.data[:, :8] = float("inf")
    score = ov_eigenvalue_score(model, 0)
    assert score[0].isnan()
    assert score[1] == expected[1]
