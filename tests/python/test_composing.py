"""`compose` gives the config of the command line, even if the program uses Hydra in the same process."""

import pytest
import yaml
from hydra import compose as their_compose
from hydra import initialize_config_dir, version
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import headscope
from tests.conftest import shell


@pytest.fixture
def their_hydra(tmp_path):
    """Initialises Hydra as a program would that uses Hydra itself, with another version's behaviour."""
    GlobalHydra.instance().clear()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "theirs.yaml").write_text("a: 1\n")
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.2"):
        yield
    GlobalHydra.instance().clear()


def test_another_hydra_in_the_process_stays_as_it_was(their_hydra, tmp_path, monkeypatch):
    before = GlobalHydra.instance().hydra
    monkeypatch.chdir(tmp_path)
    for layers in (1, 2):
        assert headscope.compose(f"model.n_layers={layers}")["model"]["n_layers"] == layers
    with pytest.raises(headscope.UserError, match=r"did you mean model\.n_layers"):
        headscope.compose("model.n_layer=1")
    assert GlobalHydra.instance().hydra is before
    assert str(version.getbase()) == "1.2"
    assert not HydraConfig.initialized()
    assert their_compose("theirs").a == 1


def test_no_hydra_is_left_where_there_was_none(tmp_path, monkeypatch):
    GlobalHydra.instance().clear()
    monkeypatch.chdir(tmp_path)
    headscope.compose("position=rope")
    assert not GlobalHydra.instance().is_initialized()
    assert list(tmp_path.iterdir()) == []


def test_it_is_the_config_that_the_command_line_composes(tmp_path):
    overrides = ("experiment=quickstart", "position=alibi", "data=text", f"data.path={tmp_path}/a, b.txt", "heads=h8")
    printed = shell("train.py", *overrides, "paths.run_dir=''", "--cfg", "job", "--resolve").stdout
    assert headscope.compose(*overrides) == yaml.safe_load(printed)


@pytest.mark.parametrize(
    ("overrides", "printed"),
    [
        (["-m", "seed=1,2"], r"one run at a time; python train.py -m seed=1,2 trains several"),
        (["sweep=positions"], r"one run at a time; python train.py sweep=positions trains several"),
        (["hydra.mode=MULTIRUN"], r"one run at a time"),
        (["--cfg"], r"--cfg is for the command line: python train.py --cfg"),
        ([3], r"3 is not an override; use a string, as in 'seed=1'"),
    ],
)
def test_what_only_the_command_line_does_is_named(overrides, printed):
    with pytest.raises(headscope.UserError, match=printed):
        headscope.compose(*overrides)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=1,2"],
        ["position=rpe"],
        ["heads=8"],
        ["quickstart"],
        ["--seed=1"],
        ["data=text"],
        ["model.n_heads=3"],
        ["seed=[1"],
        ["experiment=mlp", "heads=h4"],
        ["callbacks.samples.tokens=${oc.env:NOT_SET}"],
    ],
)
def test_what_the_command_line_refuses_is_refused_in_the_same_words(overrides, tmp_path):
    with pytest.raises(headscope.UserError) as refused:
        headscope.compose(*overrides)
    done = shell("train.py", *overrides, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 2
    assert done.stderr == f"error: {refused.value}\n"
