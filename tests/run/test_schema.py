"""Every option composes and builds; every mistake is one line."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from headscope.cli.generate import GenerateConfig
from headscope.errors import UserError
from headscope.run.config import TrainConfig
from headscope.run.schema import parse
from tests.conftest import ROOT

CONF = ROOT / "conf"
GROUPS = sorted(p.relative_to(CONF) for p in CONF.rglob("*.yaml") if p.parent != CONF and "hydra" not in p.parts)


def composed(*overrides, name="train"):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(name, list(overrides))
    if name == "train":
        cfg.paths.run_dir = "unused"
    return cfg


@pytest.mark.filterwarnings("ignore:.*``noload`` loader strategy:DeprecationWarning")  # in MLflow, of SQLAlchemy 2.1
@pytest.mark.parametrize("option", GROUPS, ids=str)
def test_every_option_composes_and_builds(option: Path, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    needs = ["data.path=README.md"] if option == Path("data/text.yaml") else []
    cfg = composed(f"{option.parent}={option.stem}", *needs)
    cfg.paths.run_dir = str(tmp_path)
    if option.parent.name == "heads":
        cfg.model.d_model = 24
    config = parse(cfg, TrainConfig)
    with torch.device("meta"):
        model = config.model(vocab_size=65)
    config.data()
    config.schedule()
    config.optimizer(model)
    for build in config.callbacks.values():
        build()
    for build in config.logger.values():
        build()
    if option.parent.name == "heads":
        assert model.n_heads == int(option.stem[1:])


def test_generate_composes():
    assert parse(composed(name="generate"), GenerateConfig).max_new_tokens == 500


def test_heads_override_the_size_and_null_keeps_it():
    assert composed("model=part4").model.n_heads == 8
    assert composed("model=part4", "heads=h2").model.n_heads == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.n_layers=three", "model.n_layers=three is not a whole number"),
        ("model.n_layers=2.5", "model.n_layers=2.5 is not a whole number"),
        ("model.n_layers=true", "is not a whole number"),
        ("model.n_layers=null", "model.n_layers=null is not a whole number"),
        ("model.n_layers=-1", "model.n_layers=-1 is out of range; it must be at least 1"),
        ("model.block_size=0", "model.block_size=0 is out of range"),
        ("model.dropout=1.5", "model.dropout=1.5 is out of range; it must be at least 0 and below 1"),
        ("model.dropout=nan", "out of range"),
        ("optimizer.lr=-1", "optimizer.lr=-1.0 is out of range; it must be above 0"),
        ("optimizer.lr=inf", "out of range"),
        ("optimizer.betas=[0.9, 1.0]", r"optimizer.betas\[1\]=1.0 is out of range"),
        ("optimizer.betas=0.9", "is not a list"),
        ("seed=-1", "seed=-1 is out of range"),
        ("task=fly", "task=fly is not one of fit, validate"),
        ("trainer.accelerator=tpu", "is not one of auto, cpu, gpu, mps"),
        ("trainer.devices=0", "trainer.devices=0 is out of range"),
        ("trainer.gradient_clip_val=0", "out of range"),
        ("+model.n_head=3", "there is no key model.n_head; did you mean model.n_heads?"),
        ("+foo=3", "there is no key foo"),
        ("data.fallback=nothing", "is not one of pydoc"),
        ("position._target_=os.system", "is not allowed; it must be a class below Position"),
        ("position._target_=torch.load", "is not allowed"),
        ("position._target_=headscope.model.position.torch.load", "does not exist"),
        ("position._target_=headscope.model.position.nn", "is not allowed"),
        ("position._target_=headscope.model.position.frequencies", "is not allowed"),
        ("position._target_=headscope.model.transformer.TransformerLM", "is not allowed"),
        ("position._target_=headscope.model.attention.nn", "is not allowed"),
        ("position._target_=3", "needs a _target_"),
        ("logger.tensorboard._target_=lightning.pytorch.callbacks.EarlyStopping", "is not allowed"),
        ("+callbacks.x._target_=headscope.run.history.Trainer", "is not allowed"),
        ("data=text", "data.path is not given; add data.path="),
    ],
)
def test_mistakes_are_one_line(override, message):
    with pytest.raises(UserError, match=message) as error:
        parse(composed(override), TrainConfig)
    assert "\n" not in str(error.value)
