"""What the user gives to Hydra itself reaches the jobs of a sweep, and is asked for again at a resume."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import headscope
from headscope.config.context import flags_first
from headscope.run.folder import RunFolder
from tests.conftest import shell
from tests.inside import TINY, train


@pytest.fixture
def options(tmp_path):
    """A folder of the user's own options."""
    folder = tmp_path / "my options"
    (folder / "position").mkdir(parents=True)
    (folder / "position" / "mine.yaml").write_text("_target_: headscope.model.position.Rotary\n")
    (folder / "mine.yaml").write_text("defaults: [train, _self_]\nseed: 5\n")
    return folder


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["position=rope", "--config-dir", "/a b", "seed=1"], ["--config-dir=/a b", "position=rope", "seed=1"]),
        (["seed=1,2", "-m", "-cn", "mine"], ["-m", "--config-name=mine", "seed=1,2"]),
        (["seed=1", "-c", "job", "--resolve", "-p", "model"], ["--cfg=job", "--resolve", "--package=model", "seed=1"]),
        (["-cd=/a", "name=-cd"], ["--config-dir=/a", "name=-cd"]),
    ],
)
def test_flags_stand_before_overrides(typed, words):
    assert flags_first(typed) == words
    assert flags_first(words) == words


word = st.sampled_from(["seed=1", "-m", "--config-dir", "--config-name=x", "-cd", "a b", "--resolve", "-c", "job"])


@given(st.lists(word))
def test_flags_move_and_overrides_keep_their_order(words):
    needs_value = ("--config-dir", "-cd", "-c")
    while words and words[-1] in needs_value:
        words = [*words, "last"]
    found = flags_first(words)
    assert flags_first(found) == found
    flags = [w.startswith("-") for w in found]
    assert flags == sorted(flags, reverse=True)
    left = iter(words)
    assert all(override in left for override in found[sum(flags) :]), "in the order in which they were typed"


@pytest.mark.parametrize("mistake", ["modl.x=3", "model.n_layer=3", "position=ropee", "hydra.job.env_set.A=b"])
def test_a_mistake_beside_the_users_options_is_one_line(options, mistake, tmp_path):
    code, printed = train("-cd", options, mistake, f"hydra.run.dir={tmp_path}/run")
    assert code == 2
    assert len(printed.splitlines()) == 1
    assert headscope.config.composed.compose_with_hydra("train", [f"--config-dir={options}", "position=mine"]).position


def test_a_group_changes_at_a_resume_beside_the_users_options(options, tmp_path):
    folder = tmp_path / "run"
    assert train("-cd", options, *TINY, f"hydra.run.dir={folder}")[0] == 0
    code, printed = train("-cd", options, f"resume={folder}", "callbacks=early_stopping", "trainer.max_steps=2")
    assert code == 0, printed


def test_the_users_options_are_recorded_and_must_be_typed_again(options, tmp_path):
    folder = tmp_path / "run"
    code, printed = train("position=mine", "--config-dir", options, *TINY, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert code == 0, printed
    assert f"train.py -m '--config-dir={options}' position=mine" in printed
    assert RunFolder(folder).overrides()[0] == f"--config-dir={options}"
    code, printed = train(f"resume={folder}", "trainer.max_steps=2", cwd=tmp_path)
    assert code == 2
    assert printed.endswith(f"check it and add it to the command: '--config-dir={options}'")
    code, printed = train(f"resume={folder}", "trainer.max_steps=2", "-cd", "my options", cwd=tmp_path)
    assert code == 0, printed


@pytest.mark.parametrize(
    ("given_to_hydra", "position"),
    [
        (["hydra.searchpath=[file://{options}]"], "mine"),
        (["--config-dir={options}", "--config-name=mine"], "rope"),
        (["+hydra.job.env_set.NAME_OF_RUN=abc", "name=${oc.env:NAME_OF_RUN,none}"], "rope"),
        (["hydra.verbose=true"], "rope"),
    ],
    ids=["searchpath", "config-name", "env_set", "verbose"],
)
def test_every_way_is_recorded(options, tmp_path, given_to_hydra, position):
    folder, typed = tmp_path / "run", [word.replace("{options}", str(options)) for word in given_to_hydra]
    code, printed = train(*typed, f"position={position}", *TINY, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert code == 0, printed
    before = RunFolder(folder).config()
    code, printed = train(f"resume={folder}", "trainer.max_steps=2", cwd=tmp_path)
    asked = [word for word in typed if word.startswith(("--", "hydra.searchpath", "+"))]
    assert code == (2 if asked else 0), printed
    assert all(word in printed for word in asked)
    code, printed = train(f"resume={folder}", "trainer.max_steps=3", *asked, cwd=tmp_path)
    assert code == 0, printed
    assert RunFolder(folder).config() == before | {"trainer.max_steps": "3"}
    assert set(asked) <= set(RunFolder(folder).overrides())


@pytest.mark.slow
def test_the_jobs_of_a_sweep_get_it_too(options, tmp_path):
    folder = tmp_path / "sweep"
    typed = (f"--config-dir={options}", "+hydra.job.env_set.NAME_OF_RUN=abc")
    names = ("position=mine,none", "name=${oc.env:NAME_OF_RUN,none}")
    done = shell("train.py", "-m", *names, typed[0], *TINY, typed[1], f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    for job in ("00-mine", "01-none"):
        assert json.loads((folder / job / "summary.json").read_text())["name"] == "abc"
    done = shell("train.py", f"resume={folder}", "trainer.max_steps=2")
    assert done.returncode == 2
    assert all(word in done.stderr for word in (str(options), typed[1]))
    done = shell("train.py", f"resume={folder}", "trainer.max_steps=2", *typed, names[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert {json.loads((folder / job / "summary.json").read_text())["steps"] for job in ("00-mine", "01-none")} == {2}


def test_python_sets_the_environment_of_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv("NAME_OF_RUN", raising=False)
    typed = ("+hydra.job.env_set.NAME_OF_RUN=abc", "name=${oc.env:NAME_OF_RUN}", f"hydra.run.dir={tmp_path}/run")
    run = headscope.train(*TINY, *typed)
    assert run.summary["name"] == "abc"
    assert "NAME_OF_RUN" not in __import__("os").environ
    assert yaml.safe_load(RunFolder(run.folder).overrides_file.read_text())[0] == typed[0]
