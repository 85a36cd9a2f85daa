"""Every pair of options from different groups can be composed and built, or is refused by a message that names both."""

import itertools
import re

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from headscope.config.composed import plain
from headscope.config.keys import TrainConfig
from headscope.config.schema import parse
from tests.cli.test_commands import refused
from tests.config.test_schema import CONF, GROUPS
from tests.conftest import shell

PAIRS = [(a, b) for a, b in itertools.combinations(GROUPS, 2) if a.parent != b.parent]


def build(*options):
    """Does what `train.py` does with two options before it reads any data."""
    chosen = {option.parent.name: option.stem for option in options}
    overrides = [f"{group}={option}" for group, option in chosen.items()]
    cfg = compose(
        "train",
        [*overrides, *["data.path=README.md"] * (chosen.get("data") in ("text", "lines"))],
        return_hydra_config=True,
    )
    choices = dict(cfg.hydra.runtime.choices)
    del cfg._content["hydra"]
    cfg.paths.run_dir = "unused"
    config = parse(plain(cfg), TrainConfig, choices)
    with torch.device("meta"):
        model = config.model(65)
    config.optimizer(model, False)
    config.schedule()
    config.data()


@pytest.mark.slow
def test_every_pair_builds_or_says_why_not():
    GlobalHydra.instance().clear()
    refusals = []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for a, b in PAIRS:
            try:
                build(a, b)
            except ValueError as e:  # UserError is a subclass
                refusals.append((a, b, str(e)))
    assert len(PAIRS) > 900
    assert refusals
    for a, b, message in refusals:
        # The model and the heads may come from an experiment, so the message may name them.
        chosen = {"model=mlp", "heads=h1", "heads=h2", "heads=h4", *(f"{x.parent}={x.stem}" for x in (a, b))}
        named = len(chosen.intersection(re.split(r"[ ,;]+", message))) == 2 and message.endswith("leave out one")
        assert named or "heads do not divide the width" in message, (a, b, message)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("experiment=toy", "model=mlp"), "experiment=toy sets model."),
        (("heads=h4", "model=mlp"), "heads=h4 sets model.n_heads, which model=mlp does not have; leave out one"),
        (
            ("-m", "position=rope,alibi", "position.base=500"),
            "some of the swept options do not have the key position.base",
        ),
    ],
)
def test_options_that_do_not_fit_are_both_named(overrides, message, tmp_path):
    folder = "hydra.sweep.dir" if "-m" in overrides else "hydra.run.dir"
    line = refused(shell("train.py", "data=pydoc", *overrides, f"{folder}={tmp_path}/x"))
    assert message in line
    assert overrides[0] in line or "-m" in overrides


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [("experiment=quickstart",), ("-m", "sweep=search", "position=rope")])
def test_any_data_goes_with_what_brings_its_own(overrides, tmp_path):
    folder = "hydra.sweep.dir" if "-m" in overrides else "hydra.run.dir"
    search = ("hydra.sweeper.n_trials=1", "heads=h4", "schedule.warmup_steps=0", "optimizer.lr=1e-3,1e-4")
    done = shell(
        *(
            "train.py",
            *overrides,
            "data=pydoc",
            "trainer.max_steps=2",
            "trainer.val_check_interval=2",
            "callbacks=none",
        ),
        *("logger=none", "model.d_model=32", "model.n_layers=1", "model.block_size=16", f"{folder}={tmp_path}/x"),
        *(search if "-m" in overrides else ()),
    )
    assert done.returncode == 0, done.stderr
