"""Data whose optimum is known: each experiment comes close to it, and a model without the right parts does not."""

import json

import pytest

from tests.conftest import shell

QUIET = ("callbacks=none", "logger=none")


def ended(folder, *overrides):
    """Trains without callbacks and loggers; returns the summary of the run."""
    done = shell("train.py", *overrides, *QUIET, f"hydra.run.dir={folder}", timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.slow
def test_chains_are_counted_as_bayes_counts_them(tmp_path):
    """0.8858 is the loss of the Bayes-optimal bigram for 3 states over 100 targets (Edelman et al. 2024)."""
    summary = ended(tmp_path / "run", "experiment=markov")
    assert summary["val_loss"] == pytest.approx(0.8858, abs=0.02)
    assert 0 <= summary["val_regret"] < 0.02
    assert summary["val_regret"] == pytest.approx(summary["val_loss"] - summary["optimum"])


@pytest.mark.slow
def test_values_are_recalled(tmp_path):
    assert ended(tmp_path / "run", "experiment=recall")["val_accuracy"] >= 0.95


@pytest.mark.slow
def test_one_layer_does_induction_with_the_key_of_the_token_before_and_not_without(tmp_path):
    """Trains for a third of the experiment's steps. docs/RESULTS.md has the full experiment with three seeds."""
    short = ("experiment=key_offset", "trainer.max_steps=1000", "trainer.val_check_interval=1000")
    assert ended(tmp_path / "with", *short)["val_regret"] < 0.35
    assert ended(tmp_path / "without", *short, "position.key_offset=false")["val_regret"] > 0.5
