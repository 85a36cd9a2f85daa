"""A loss that cannot be the result of learning is recognised, and others are not."""

import json
import math

import pytest
import torch

from headscope.run.history import History
from headscope.run.plausible import why_implausible
from tests.conftest import fit
from tests.inside import train

DATA = {"data": {"vocab_size": 64}}


@pytest.mark.parametrize(
    ("summary", "reason"),
    [
        ({"val_loss": 0.0}, "a probability of exactly 1"),
        (
            {"val_loss": 1e-8, "largest_weight": 1e5},
            "a probability of exactly 1, because the weights have grown far too large",
        ),
        ({"val_loss": 1.0, "finite_weights": False}, "some weights are not finite"),
        ({"val_loss": 1.2, "optimum": 1.4}, "it is below 1.4000, the lowest possible loss"),
        ({"val_loss": 1e-4, "train_loss": 1e-4, "finite_weights": True} | DATA, ""),
        ({"val_loss": 0.0, "finite_weights": True, "largest_weight": 6.0}, ""),  # a sentence memorised in 6,000 steps
        ({"val_loss": 1.37, "optimum": 1.4}, ""),  # within the noise of the validation windows
        ({"val_loss": 1e-4, "optimum": 0.0}, ""),
        ({"val_loss": 9e3, "train_loss": 5e4} | DATA, ""),  # diverged: it ranks last
        ({"val_loss": 1.8, "train_loss": None} | DATA, ""),
        ({"val_loss": None}, ""),
        ({"val_loss": math.nan}, ""),
        ({}, ""),
    ],
)
def test_a_loss_is_implausible_only_if_it_is_too_good(summary, reason):
    assert reason in why_implausible(summary)
    assert bool(reason) == bool(why_implausible(summary))


@pytest.mark.parametrize("lr", ["1e30", "1e5", "100"])
def test_a_run_whose_softmax_saturates_says_so(lr, tmp_path):
    quiet = ("callbacks=none", "logger=none", "trainer.max_steps=20", "trainer.val_check_interval=20")
    code, output = train("experiment=toy", *quiet, f"optimizer.lr={lr}", f"hydra.run.dir={tmp_path}/run")
    assert code == 0, output
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["val_loss"] == 0.0
    assert summary["largest_weight"] > 30
    assert "the validation loss 0.0000 is not plausible: every target has a probability of exactly 1" in output


def test_weights_that_are_not_finite_are_recorded(monkeypatch):
    """A row of the embedding that no token of the text uses."""
    for value, finite in ((1.0, True), (math.inf, False), (math.nan, False)):
        history = History()
        _, module = fit(steps=2, callbacks=[history])
        assert 0 < history.facts([])["largest_weight"] < 10
        with torch.no_grad():
            module.model.embedding.weight[0, 0] = value
        history.on_train_end(None, module)
        assert history.facts([])["finite_weights"] == finite
