"""Checkpoints of every format that was ever written still load."""

from pathlib import Path

import pytest
import torch

import headscope
from headscope.checkpoint import format as own_format
from headscope.checkpoint.format import FORMAT
from headscope.errors import UserError
from headscope.model.feedforward import GELU, SquaredReLU
from headscope.model.qk_norm import QKNorm, Unit

FIXTURES = Path(__file__).parent / "fixtures"
#: Logits after "I love", computed by the version that wrote the file.
#: Format 1: commit d5ccd9a, `experiment=toy model.d_model=8 callbacks=none trainer.max_steps=50`;
#: Format 2: commit 46689b0, the same command with `position=rope feedforward=relu2 qk_norm=unit optimizer=muon
#: optimizer.lr=1e-2`.
LOGITS = {
    1: [-1.5271477, -0.1604364, 3.0563197, -1.5271477, -1.5271477, -0.2913186],
    2: [-1.0910918, 0.0995025, 2.7040267, -1.0910918, -1.0910918, -0.6438203],
}


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_every_format_loads_and_computes_the_same(number):
    model, tokenizer, about = headscope.load(FIXTURES / f"format{number}.ckpt")
    logits = model(tokenizer.encode("I love")[None])[0, -1]
    torch.testing.assert_close(logits, torch.tensor(LOGITS[number]), atol=1e-5, rtol=0)
    assert about["data"]["name"] == "toy"


def test_format_1_loads_with_the_parts_that_it_does_not_name():
    model = headscope.load(FIXTURES / "format1.ckpt").model
    assert (type(model.feedforward), type(model.qk_norm)) == (GELU, QKNorm)
    model = headscope.load(FIXTURES / "format2.ckpt").model
    assert (type(model.feedforward), type(model.qk_norm)) == (SquaredReLU, Unit)


def test_older_formats_are_upgraded_step_by_step(monkeypatch):
    monkeypatch.setattr(own_format, "FORMAT", 3)
    monkeypatch.setattr(own_format, "STEPS", {n: lambda card, n=n: card | {f"step{n}": True} for n in (1, 2)})
    assert own_format.to_current({"format": 1}, "x") == {"format": 1, "step1": True, "step2": True}
    assert own_format.to_current({"format": 2}, "x") == {"format": 2, "step2": True}


@pytest.mark.parametrize("number", [None, 0, "1", True])
def test_a_file_without_a_format_is_damaged(tmp_path, number):
    saved = torch.load(FIXTURES / "format1.ckpt", weights_only=True)
    saved["headscope"]["format"] = number
    torch.save(saved, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="damaged"):
        headscope.load(tmp_path / "a.ckpt")


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    saved = torch.load(FIXTURES / "format1.ckpt", weights_only=True)
    saved["headscope"]["format"] = FORMAT + 1
    torch.save(saved, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=f"has format {FORMAT + 1}, but this version reads formats up to {FORMAT};"):
        headscope.load(tmp_path / "a.ckpt")
