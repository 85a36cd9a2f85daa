"""`experiment=repeated` forms induction heads above a previous-token head with two layers, but not with one."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

import headscope
from headscope.data.repeated import Repeated
from headscope.heads import ablate, describe, repeated_probe
from headscope.run.folder import RunFolder
from tests.conftest import shell

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Returns, by layers and seed: the summary of a run, its model, and 128 windows of its validation split."""
    folder = tmp_path_factory.mktemp("grown")

    def train(run):
        layers, seed = run
        path = folder / f"{layers}-{seed}"
        options = (f"model.n_layers={layers}", f"seed={seed}", "logger=none", "callbacks=none")
        done = shell("train.py", "experiment=repeated", *options, f"hydra.run.dir={path}", timeout=900)
        assert done.returncode == 0, done.stderr
        model, tokenizer, about = headscope.load(path / "checkpoints" / "last.ckpt")
        data = about["config"]["data"]
        rule = Repeated(data["vocab_size"], data["shortest"], data["longest"])
        text, _ = next(rule.load(model.block_size, tokenizer).val.once(128))
        return RunFolder(path).summary(), model, text

    runs = [*product((2, 1), SEEDS)]  # the longer runs start first
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(runs, pool.map(train, runs), strict=True))


def above_optimum(summary):
    return summary["val_loss"] - summary["optimum"]


def reports_of(model, text):
    return describe(model, text, repeated_probe(model.vocab_size, model.block_size, 128))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_two_layers_grow_an_induction_head(grown, seed):
    summary, model, text = grown[2, seed]
    assert 0 <= above_optimum(summary) <= 0.05
    reports = reports_of(model, text)
    confirmed = [r for r in reports if r.confirmed]
    assert max(r.scores["induction"] for r in confirmed if r.role == "induction") >= 0.6
    inductors = [r for r in reports if r.role == "induction"]
    assert {r.layer for r in inductors} == {1}
    assert all(r.confirmed for r in inductors), "removed alone, or after the other induction heads"
    assert 0 in {r.layer for r in confirmed if r.role == "previous token"}
    rise = ablate(model, text, [(r.layer, r.head) for r in inductors])
    assert rise.mean() >= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_one_layer_cannot(grown, seed):
    summary, model, text = grown[1, seed]
    assert above_optimum(summary) >= 0.5
    assert all(r.scores["induction"] <= 0.2 and r.role != "induction" for r in reports_of(model, text))
