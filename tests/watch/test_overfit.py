"""`debug=overfit` answers yes or no, and where to look next."""

import json
import logging
import math

import pytest
import torch
from torch import nn

from headscope.data.sentences import Toy
from headscope.data.windows import IGNORE
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Rotary
from headscope.model.transformer import TransformerLM
from headscope.watch.overfit import Overfit, lowest_loss
from tests.conftest import fit
from tests.inside import train

DEBUG = ("debug=overfit", "data=toy", "model.n_layers=1", "model.d_model=16", "heads=h1", "model.block_size=8")
DEBUG = (*DEBUG, "trainer.threads=1", "logger=none", "callbacks=none")


def answers(caplog, **options):
    """The two lines of a run on one batch, and what it adds to the summary."""
    caplog.set_level(logging.INFO)
    overfit = Overfit()
    fit(callbacks=[overfit], same=True, batch_size=2, block_size=8, **options)
    answer, advice = [r.getMessage() for r in caplog.records if r.name == "headscope.watch.overfit"]
    return answer, advice, overfit.facts([])


def test_a_model_that_learns_its_batch_is_a_yes(caplog):
    answer, advice, facts = answers(caplog, steps=150, lr=1e-2)
    assert answer.startswith("can the model memorise one batch? yes: its loss is ")
    assert (
        advice
        == "look next at the data, the regularisation and the number of steps, because the model itself can learn"
    )
    assert facts["memorised_batch"] is True
    assert facts["batch_loss"] < 0.2


@pytest.mark.parametrize(("steps", "lr"), [(20, 3e-3), (10, 1e-9)])
def test_a_batch_that_is_not_learnt_needs_steps_or_another_rate(steps, lr, caplog):
    answer, advice, facts = answers(caplog, steps=steps, lr=lr)
    assert answer.startswith("can the model memorise one batch? no: ")
    assert advice.startswith(f"look next at trainer.max_steps={4 * steps}, optimizer.lr={lr:g} 10 times lower and ")
    assert facts["memorised_batch"] is False


class Cut(TransformerLM):
    """A model with a mistake: its blocks get no gradient."""

    def forward(self, ids, cache=None):
        x = self.embed(ids)
        with torch.no_grad():
            for block in self.blocks:
                x = block(x)
        return self.head(self.norm(x))


def frozen(size):
    model = TransformerLM(size, 32, 2, 1, 8, 0.0, Rotary)
    for p in (*model.embedding.parameters(), *model.blocks.parameters()):
        p.requires_grad_(False)
    return model


def unused(size):
    model = FixedContextMLP(size, 1, 4, 4, 8)
    model.inner.extra = nn.Parameter(torch.zeros(3))
    return model


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda size: Cut(size, 32, 2, 1, 8, 0.0, Rotary), "embedding.weight, blocks.0.norm1.weight, "),
        (frozen, "embedding.weight, blocks.0.norm1.weight, "),
        (unused, "inner.extra"),
    ],
)
def test_weights_that_do_not_learn_are_named(make, named, caplog):
    answer, advice, _ = answers(caplog, steps=10, lr=1e-3, make=make)
    assert "? no: " in answer
    assert advice.startswith(f"look next at the weights that no gradient reaches, which do not learn: {named}")


def test_the_lowest_loss_is_the_entropy_of_the_next_token():
    x = torch.tensor([[1, 2, 3], [1, 2, 4], [5, 2, 4]])
    y = torch.tensor([[2, 3, 0], [2, 4, IGNORE], [2, 4, 0]])
    assert lowest_loss(x, y, 3) == pytest.approx(2 * math.log(2) / 8)  # 3 or 4 after 1 2
    after_two = 3 * -(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3  # 3, 4 and 4 after 2
    assert lowest_loss(x, y, 1) == pytest.approx(after_two / 8)
    assert lowest_loss(x[:1], y[:1], 3) == 0


def test_a_batch_with_two_continuations_can_be_memorised(caplog):
    answer, _, facts = answers(caplog, steps=150, lr=1e-2, source=Toy(["I love cats", "I love dogs"]))
    assert facts["lowest_batch_loss"] == pytest.approx(2 * math.log(2) / 6)
    assert "? yes: " in answer


@pytest.mark.parametrize(("steps", "said"), [(300, "yes"), (4, "no")])
def test_the_command_prints_the_answer(steps, said, tmp_path):
    limits = (f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}", f"hydra.run.dir={tmp_path}/run")
    code, printed = train(*DEBUG, *limits, cwd=tmp_path)
    assert code == 0, printed
    assert f"can the model memorise one batch? {said}: its loss is " in printed
    assert "\nlook next at " in printed
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["memorised_batch"] is (said == "yes")


def test_it_changes_no_weight():
    options = {"steps": 10, "same": True, "batch_size": 2, "block_size": 8, "dropout": 0.5}
    _, without = fit(**options)
    _, with_it = fit(**options, callbacks=[Overfit()])
    for ours, theirs in zip(without.model.parameters(), with_it.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
