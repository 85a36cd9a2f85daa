"""Every option can be composed and built; every mistake gives a message of one line."""

import importlib
import inspect
import pkgutil
import sys
import types
from collections import abc
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest
import torch
from annotated_types import Ge, Gt, Len, Lt
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import headscope
from headscope.annotations import ALLOWED, not_implemented
from headscope.config.composed import plain
from headscope.config.generate_keys import GenerateConfig
from headscope.config.keys import TrainConfig
from headscope.config.schema import parse
from headscope.errors import UserError
from headscope.model.position import Position
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


def checked(*overrides):
    return parse(plain(composed(*overrides)), TrainConfig)


def chosen(option: Path):
    """Returns the config with one option, and with the values that this option requires."""
    needs = ["data.path=README.md"] if option in (Path("data/text.yaml"), Path("data/lines.yaml")) else []
    return composed(f"{option.parent}={option.stem}", *needs)


# MLflow uses a loader strategy that SQLAlchemy 2.1 deprecates.
@pytest.mark.filterwarnings("ignore:.*``noload`` loader strategy:DeprecationWarning")
@pytest.mark.parametrize("option", GROUPS, ids=str)
def test_every_option_composes_and_builds(option: Path, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    cfg = chosen(option)
    cfg.paths.run_dir = str(tmp_path)
    if option.parent.name == "heads":
        cfg.model.d_model = 24
    config = parse(plain(cfg), TrainConfig)
    with torch.device("meta"):
        model = config.model(65)
    config.data()
    config.schedule()
    config.optimizer(model, False)
    for build in config.callbacks.values():
        build()
    for build in config.logger.values():
        build()
    if option.parent.name == "heads":
        assert model.n_heads == int(option.stem[1:])


def test_generate_composes():
    assert parse(plain(composed(name="generate")), GenerateConfig).max_new_tokens == 500


def test_heads_override_the_size_and_null_keeps_it():
    assert composed("model=part4").model.n_heads == 8
    assert composed("model=part4", "heads=h2").model.n_heads == 2


def test_null_leaves_a_callback_or_the_logger_out():
    config = checked("callbacks.samples=null", "logger=none")
    assert config.callbacks["samples"] is None
    assert config.callbacks["curves"] is not None
    assert config.logger == {}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.n_layers=three", "model.n_layers=three must be an integer"),
        ("model.n_layers=2.5", "model.n_layers=2.5 must be an integer"),
        ("model.n_layers=2.0", "model.n_layers=2.0 must be an integer"),
        ("model.n_layers=true", "model.n_layers=true must be an integer"),
        ("model.n_layers=null", "model.n_layers=null must be an integer"),
        ("model.n_layers=-1", "model.n_layers=-1 must be at least 1"),
        ("model.n_layers=[2]", "model.n_layers=[2] must be an integer"),
        ("model.dropout=1", "model.dropout=1 must be below 1"),
        ("model.dropout=-0.5", "model.dropout=-0.5 must be at least 0"),
        ("model.dropout=nan", "model.dropout=NaN must be a finite number"),
        ("model.dropout=false", "model.dropout=false must be a number"),
        ("model.position=null", "model.position=null must be a mapping with a _target_, a subclass of Position"),
        ("+model.n_head=3", "there is no key model.n_head; did you mean model.n_heads?"),
        ("+model.vocab_size=3", "there is no key model.vocab_size; did you mean"),
        ("~model.d_model", "model.d_model is missing from the configuration; add +model.d_model=…"),
        ("+position.n_heads=3", "there is no key position.n_heads"),
        ("position.base=0", "position.base=0 must be above 0"),
        ("optimizer.lr=fast", "optimizer.lr=fast must be a number"),
        ("optimizer.lr=-1e-3", "optimizer.lr=-0.001 must be above 0"),
        ("optimizer.lr=inf", "optimizer.lr=Infinity must be a finite number"),
        ("optimizer.betas=[0.9, 1.0]", "optimizer.betas[1]=1.0 must be below 1"),
        ("optimizer.betas=[x, 0.9]", "optimizer.betas[0]=x must be a number"),
        ("optimizer.betas=[0.9]", "optimizer.betas=[0.9] must be a list of at least 2"),
        ("optimizer.betas=[0.9, 0.9, 0.9]", "must be a list of at most 2"),
        ("optimizer.betas=0.9", "optimizer.betas=0.9 must be a list, as in [a, b]"),
        ("optimizer.betas=ab", "optimizer.betas=ab must be a list, as in [a, b]"),
        ("+optimizer.fused=true", "there is no key optimizer.fused"),
        ("schedule.final=2", "schedule.final=2 must be at most 1"),
        ("seed=-1", "seed=-1 must be at least 0"),
        ("seed=4294967296", "seed=4294967296 must be below 4294967296"),
        ("task=fly", "task=fly must be one of fit, validate"),
        ("name=7", "name=7 must be text"),
        ("same_batch=1", "same_batch=1 must be true or false"),
        ("same_batch=null", "same_batch=null must be true or false"),
        ("init=3", "init=3 must be text or null"),
        ("data.fallback=nothing", "data.fallback=nothing must be pydoc or null"),
        ("data.tokenizer=letters", "data.tokenizer=letters must be one of char, word, bpe"),
        ("data=text", "data.path has no value; add data.path="),
        ("trainer.accelerator=tpu", "trainer.accelerator=tpu must be one of auto, cpu, gpu, mps"),
        ("trainer.devices=0", "trainer.devices=0 must be at least 1 or auto"),
        ("trainer.devices=all", "trainer.devices=all must be an integer or auto"),
        ("trainer.gradient_clip_val=0", "trainer.gradient_clip_val=0 must be above 0 or null"),
        ("trainer.threads=many", "trainer.threads=many must be an integer or null"),
        ("+foo=3", "there is no key foo; python train.py --cfg job prints all keys"),
        ("callbacks.progress=3", "callbacks.progress=3 must be a mapping with a _target_, a subclass of Callback"),
        ("callbacks.samples.tokens=0", "callbacks.samples.tokens=0 must be at least 1"),
    ],
)
def test_mistakes_are_one_line(override, message):
    with pytest.raises(UserError) as error:
        checked(override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "position._target_=os.system",
            "position._target_=os.system must be a subclass of Position, defined in one of",
        ),
        ("position._target_=torch.load", "must be a subclass"),
        ("position._target_=this.s", "must be a subclass"),
        ("position._target_=headscope.model.position.torch.load", "cannot be imported"),
        ("position._target_=headscope.model.position.Alibi", "cannot be imported"),
        ("position._target_=headscope.model.position.nn", "must be a subclass"),
        ("position._target_=headscope.model.position.nn.Linear", "cannot be imported"),
        ("position._target_=headscope.model.position.frequencies", "must be a subclass"),
        ("position._target_=headscope.model.transformer.TransformerLM", "must be a subclass of Position"),
        ("position._target_=3", "must be a mapping with a _target_, a subclass of Position"),
        ("position._target_=''", "must be a subclass of Position"),
        ("logger.tensorboard._target_=lightning.pytorch.callbacks.EarlyStopping", "must be a subclass of Logger"),
        ("+callbacks.x._target_=headscope.run.history.History", "must be a subclass of Callback"),
        ("+callbacks.x._target_=headscope.watch.board.SummaryWriter", "must be a subclass of Callback"),
    ],
)
def test_only_allowed_classes_are_built(override, message):
    with pytest.raises(UserError) as error:
        checked(override, "~position.base")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "this" not in sys.modules, "an import runs code"


def test_the_module_that_defines_a_class_decides_not_the_path_to_it():
    config = checked("position._target_=headscope.model.transformer.Position", "~position.base")
    assert config.position.func is Position


def leaves(tree, prefix=""):
    """Yields the dotted name and the value of every key that is not a group."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def replaced(config, key, value):
    """Returns a copy of a config in which one dotted key has another value."""
    copy = deepcopy(config)
    *path, last = key.split(".")
    place = copy
    for name in path:
        place = place[name]
    place[last] = value
    return copy


#: WRONG has values of other types for each type; NOWHERE has values that no key accepts.
WRONG = {int: ["three", 2.5, True], float: ["x", True], bool: [1, "yes"], str: [2.5, True], list: ["a", 7], dict: ["a"]}
NOWHERE = [[[7]], {"a": {"b": [1]}}, {1: 2}]


def refuses_wrong_types(config, schema, keys):
    for key, value in leaves(config):
        if key.split(".")[0] in keys and not key.startswith("model.position."):  # the same values as the group position
            for wrong in WRONG.get(type(value), []) + NOWHERE:
                with pytest.raises(UserError) as error:
                    parse(replaced(config, key, wrong), schema)
                message, named = str(error.value), key.removesuffix("._target_")
                assert message.startswith((f"{named}=", f"{named}[", f"{named}.", f"there is no key {key}.")), message
                assert "\n" not in message


def test_every_key_refuses_values_of_a_wrong_type():
    refuses_wrong_types(plain(composed()), TrainConfig, plain(composed()))
    refuses_wrong_types(plain(composed(name="generate")), GenerateConfig, plain(composed(name="generate")))


@pytest.mark.parametrize("option", [p for p in GROUPS if "_target_" in (CONF / p).read_text()], ids=str)
def test_every_option_refuses_values_of_a_wrong_type(option):
    refuses_wrong_types(plain(chosen(option)), TrainConfig, [option.parts[0]])


def constructors(kind):
    """Yields the constructors in an annotation."""
    if get_origin(kind) is abc.Callable:
        yield kind
    elif get_origin(kind) is not Literal:
        for argument in get_args(kind):
            yield from constructors(argument)


def below(base):
    return {base}.union(*(below(cls) for cls in base.__subclasses__()))


def is_checked(kind):
    """Whether the annotation of an option has values that a config can contain."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return is_checked(args[0])
    if origin is abc.Callable:
        return len(args) == 2 and args[0] is not ... and isinstance(args[1], type)
    if origin in (Union, types.UnionType, Sequence, dict):
        return all(map(is_checked, args))
    return origin is Literal or is_dataclass(kind) or kind in (int, float, bool, str, types.NoneType)


def test_every_constructor_has_annotations_that_are_checked():
    for module in pkgutil.walk_packages(headscope.__path__, "headscope."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    seen = set()
    for place in [kind for field in fields(TrainConfig) for kind in constructors(field.type)]:
        Config = make_dataclass("Config", [("place", place)])
        for cls in below(get_args(place)[1]):
            if not_implemented(cls):
                continue
            if f"{cls.__module__}.".startswith(ALLOWED) and cls.__module__.startswith("headscope."):
                seen.add(cls.__name__)
                parameters = list(inspect.signature(cls, eval_str=True).parameters.values())[len(get_args(place)[0]) :]
                assert all(is_checked(p.annotation) for p in parameters), cls
                with pytest.raises(UserError, match=r"there is no key place\.none"):
                    parse({"place": {"_target_": f"{cls.__module__}.{cls.__qualname__}", "none": 1}}, Config)
    assert {"Rotary", "TransformerLM", "FixedContextMLP", "Toy", "AdamW", "Cosine", "Samples", "TensorBoard"} <= seen


@dataclass
class Inner:
    size: Annotated[int, Ge(1)] = 3


@dataclass
class Outer:
    ratio: Annotated[float, Gt(0), Lt(1)]
    pair: Annotated[Sequence[float], Len(2, 2)]
    inner: Inner
    inners: dict[str, Inner | None]
    mode: Literal["a", "b"] | None = None


GOOD = {"ratio": 0.5, "pair": [1, 2.5], "inner": {}, "inners": {"x": {"size": 1}, "y": None}}


def test_values_arrive_with_the_types_that_are_annotated():
    outer = parse(GOOD | {"mode": "b"}, Outer)
    assert outer == Outer(0.5, [1.0, 2.5], Inner(3), {"x": Inner(1), "y": None}, "b")
    assert type(outer.pair[0]) is float
    assert parse(GOOD, Outer).mode is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": 1}, "ratio=1 must be below 1"),
        ({"ratio": None}, "ratio=null must be a number"),
        ({"pair": None}, "pair=null must be a list, as in [a, b]"),
        ({"inners": {"x": {"size": 0}}}, "inners.x.size=0 must be at least 1"),
        ({"inners": {"x": {"siz": 0}}}, "there is no key inners.x.siz; did you mean inners.x.size?"),
        ({"inners": {3: {"size": 1}}}, "inners=3 must be text"),
        ({"inners": None}, "inners=null must be a mapping"),
        ({"inner": {"size": "line\nbreak"}}, "inner.size=line break must be an integer"),
        ({"mode": ["a"]}, 'mode=["a"] must be one of a, b or null'),
        ({"mode": "c"}, "mode=c must be one of a, b or null"),
    ],
)
def test_nested_values_are_named_by_their_whole_key(change, message):
    with pytest.raises(UserError) as error:
        parse(GOOD | change, Outer)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("EarlyStopping", {"monitor": "val/loss", "patience": 2, "stopping_threshold": 1}, None),
        ("EarlyStopping", {"patience": 2}, "callbacks.x.monitor is missing from the configuration"),
        ("EarlyStopping", {"monitor": "val/loss", "patience": "long"}, "callbacks.x.patience=long must be an integer"),
        (
            "EarlyStopping",
            {"monitor": "val/loss", "patienc": 2},
            "callbacks.x.patienc; did you mean callbacks.x.patience",
        ),
        ("LearningRateMonitor", {"logging_interval": "step"}, None),
        ("LearningRateMonitor", {"logging_interval": "day"}, "logging_interval=day must be one of step, epoch or null"),
        ("RichProgressBar", {"theme": {"progress_bar": "green"}}, None),
        ("RichProgressBar", {"theme": {"progress_ba": "green"}}, "there is no key callbacks.x.theme.progress_ba; did"),
        ("LambdaCallback", {"on_fit_start": "print"}, "callbacks.x.on_fit_start=print must be callable or null"),
        ("ThroughputMonitor", {"batch_size_fn": "len"}, "callbacks.x.batch_size_fn=len must be"),
    ],
)
def test_callbacks_of_lightning_are_checked_as_far_as_their_annotations_go(name, options, message):
    callback = {"_target_": f"lightning.pytorch.callbacks.{name}"} | options
    config = plain(composed()) | {"callbacks": {"x": callback}}
    if message is None:
        assert parse(config, TrainConfig).callbacks["x"].keywords.keys() == options.keys()
        return
    with pytest.raises(UserError) as error:
        parse(config, TrainConfig)
    assert message in str(error.value)


def test_an_annotation_of_lightning_that_cannot_be_evaluated_is_not_checked():
    """The annotation of `experiment` uses names that only type checkers import; `group` is part of **kwargs."""
    logger = {"_target_": "lightning.pytorch.loggers.WandbLogger", "experiment": "x", "group": "g"}
    config = parse(plain(composed()) | {"logger": {"x": logger}}, TrainConfig)
    assert config.logger["x"].keywords == {"experiment": "x", "group": "g"}
    with pytest.raises(UserError, match=r"logger\.x\.offline=x must be true or false"):
        parse(plain(composed()) | {"logger": {"x": logger | {"offline": "x"}}}, TrainConfig)
