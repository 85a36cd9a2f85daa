"""A resume runs no code and reads no config file that only the folder names; what a user types is the user's own."""

import json
import pickle
import re
import shutil
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st

import headscope
from headscope.config.context import HARMLESS as HARMLESS_KEYS
from headscope.config.context import own_words
from headscope.config.overrides import RESUME
from headscope.errors import UserError
from headscope.run.folder import RunFolder
from headscope.sweep.jobs import Manifest
from tests.inside import TINY, train

CODE = """
import logging
from pathlib import Path
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher

Path({marker!r}).touch()

class Called(Callback): pass
class Handler(logging.StreamHandler): pass
class Starts(Launcher):
    def launch(self, *args): return []
    def setup(self, **kwargs): pass
"""
#: Words with which a folder could name code, in every way that Hydra has.
NAMING = (
    "+hydra.callbacks.x._target_=foreign.Called",
    "++hydra.callbacks.x._target_=foreign.Called",
    "hydra.callbacks={x: {_target_: foreign.Called}}",
    "hydra.callbacks.record._target_=foreign.Called",
    "+hydra/callbacks=foreign",
    "+foreign@hydra.callbacks=option",
    "+foreign@_global_.hydra.callbacks=option",
    "experiment=../../{here}/foreign",
    "experiment='${oc.env:NOT_SET,../../{here}/foreign}'",
    "hydra/job_logging=../../../{here}/foreign",
    "hydra.searchpath=[pkg://foreign]",
    "hydra.searchpath=['file://{folder}']",
    "hydra.job_logging.handlers.console.class=foreign.Handler",
    "hydra.launcher._target_=foreign.Starts",
    "hydra.sweeper._target_=foreign.Starts",
    "+hydra.launcher.setup=[touch /tmp/x]",
    "+hydra.sweeper.params.name=x",
    "hydra.launcher.partition='a\nb'",
    "+hydra.job.env_set.HEADSCOPE_PLUGINS=foreign",
    "+hydra.job.env_set.PYTHONPATH={folder}",
    "hydra.job.env_copy=[HOME]",
    "hydra.output_subdir=x",
    "hydra.mode=${oc.env:HOME}",
    "--config-dir={folder}",
    "--config-path={folder}",
    "--config-name=foreign",
    "--experimental-rerun={folder}/foreign.pickle",
    "--experimental-re={folder}/foreign.pickle",
    "-cd={folder}",
    "name=${oc.env:HOME}",
    "name=a-${free:{folder}/made}",
)


class Touches:
    """When it is unpickled, a file appears."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture
def foreign(tmp_path, monkeypatch, one_step):
    """A run's folder, and beside it a module, a pickle and a config file that leave a mark when they are used."""
    marker, folder = tmp_path / "marker", tmp_path / "run"
    (tmp_path / "foreign.py").write_text(CODE.format(marker=str(marker)))
    (tmp_path / "foreign.pickle").write_bytes(pickle.dumps(Touches(marker)))
    hydra = {"callbacks": {"x": {"_target_": "foreign.Called"}}}
    (tmp_path / "foreign.yaml").write_text("# @package _global_\n" + yaml.safe_dump({"hydra": hydra}))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "foreign", raising=False)
    shutil.copytree(one_step, folder)
    return folder, marker


def filled(word, folder):
    return word.replace("{folder}", str(folder.parent)).replace("{here}", "../" * 20 + str(folder.parent)[1:])


def record(folder, *words):
    run = RunFolder(folder)
    run.overrides_file.write_text(yaml.safe_dump([*run.overrides(), *words]))


def refused_without_a_mark(folder, marker, *typed):
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    code, printed = train(f"resume={folder}", "trainer.max_steps=2", *typed)
    assert not marker.exists(), printed
    assert code == 2
    assert (
        "records a word that can run code or read the environment; a resume uses only what you type yourself" in printed
    )
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("word", NAMING)
def test_a_run_that_names_code_is_refused(foreign, word):
    folder, marker = foreign
    record(folder, filled(word, folder))
    refused_without_a_mark(folder, marker)


@pytest.mark.parametrize("word", NAMING)
def test_a_sweep_that_names_code_is_refused(foreign, word):
    folder, marker = foreign
    sweep = folder.parent / "sweep"
    Manifest(("-m", *TINY, "seed=1,2", filled(word, folder)), ()).write(sweep)
    refused_without_a_mark(sweep, marker)


@pytest.mark.filterwarnings("ignore:provider=hydra.searchpath:UserWarning")
@pytest.mark.parametrize("word", [NAMING[0], NAMING[7], "hydra.searchpath=[pkg://foreign]"])
def test_what_is_refused_would_have_run_code(foreign, word):
    """The same words, typed by the user, do run it: these tests can fail."""
    folder, marker = foreign
    record(folder, filled(word, folder))
    _, printed = train(f"resume={folder}", "trainer.max_steps=2", filled(word, folder))
    assert marker.exists(), printed


def test_python_refuses_the_same(foreign):
    folder, marker = foreign
    record(folder, NAMING[10])
    with pytest.raises(UserError, match="records a word that can run code"):
        headscope.train(f"resume={folder}", "trainer.max_steps=2")
    assert not marker.exists()


def test_a_job_of_a_foreign_sweep_is_refused_too(foreign):
    """The jobs are resumed one by one, in processes of their own."""
    folder, marker = foreign
    record(folder, NAMING[0])
    sweep = folder.parent
    jobs = [{"name": "run", "overrides": list(TINY), "trial": False}]
    (sweep / "sweep.json").write_text(json.dumps({"command": ["-m", *TINY], "swept": [], "jobs": jobs}))
    train(f"resume={sweep}", "trainer.max_steps=2")
    assert not marker.exists()
    assert "records a word that can run code or read the environment" in (folder / "job.log").read_text()


HARMLESS = (
    *("-m", "--multirun", "position=rope,alibi", "seed=range(1,3)", "optimizer.betas=[0.9,0.99]", "~callbacks.samples"),
    *(
        "hydra.sweeper.n_trials=3",
        "hydra.launcher.n_jobs=2",
        "hydra/launcher=joblib",
        "hydra.sweeper.tune=optimizer.lr",
    ),
    *("name='a..b'", "checkpoint='../a.ckpt'", "batch_size=${seed}", "optimizer.lr=interval(1e-3, 1e-2)"),
    *("sweep=search", "data.path='/a/../hydra/b'", "hydra.mode=MULTIRUN", "hydra.verbose=true", "logger=[csv,wandb]"),
)


def test_other_recorded_words_are_used(tmp_path):
    assert own_words(tmp_path, HARMLESS, []) == list(HARMLESS)


key = st.text("hydra.@/x_$-+~ \t", max_size=12) | st.sampled_from(
    ["hydra", "callbacks", "launcher", "mode", "x", "job"]
)
keys = st.lists(key | st.sampled_from([".", "/", "@", "hydra.", "hydra/"]), min_size=1, max_size=5).map("".join)
values = st.sampled_from(["RUN", "[a]", "{a: b}", "'a\nb'", "a b", "${a}", "1,2", "../a", "", "null", "f(x)"])


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(["", "+", "++", "~"]), keys, values)
def test_any_word_that_hydra_takes_for_itself_is_harmless_or_refused(sign, key, value):
    """Hydra's own parser says which words are for Hydra."""
    word = f"{sign}{key}={value}"
    try:
        parsed = OverridesParser.create().parse_override(word)
        own_words(Path("run"), [word], [])
    except (UserError, HydraException):
        return
    places = f"{parsed.key_or_group}@{parsed.package or ''}"
    if "hydra" in re.split(r"[./@]", places):
        assert parsed.key_or_group in HARMLESS_KEYS
        assert parsed.package is None
        assert value in ("RUN", "", "null")


def test_the_key_of_a_resume_is_not_taken_from_a_folder(tmp_path):
    with pytest.raises(UserError):
        own_words(tmp_path, [f"{RESUME}=elsewhere"], [])
