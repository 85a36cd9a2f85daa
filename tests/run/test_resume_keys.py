"""Every key given with `resume=` takes effect and is recorded, or is refused with one line."""

import json
import shutil

import pytest

from headscope.run.folder import RunFolder
from tests.config.test_schema import composed
from tests.inside import train

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16", "position=rope"),
    *("trainer.max_steps=1", "trainer.val_check_interval=1", "trainer.threads=1", "trainer.accelerator=cpu"),
    *("callbacks=early_stopping", "callbacks.heatmaps=null", "callbacks.samples=null", "logger=csv"),
)
OTHER = {
    "name": "x, (1)", "task": "validate", "checkpoint": "nowhere.ckpt", "init": "nowhere.ckpt", "data.path": "nowhere",
    "trainer.accelerator": "gpu", "trainer.devices": "1", "trainer.precision": "64-true",
    "trainer.fused": "false", "trainer.compile": "false", "trainer.profiler": "simple", "data.tokenizer": "word",
    "data.split": "interleaved",
    "callbacks.early_stopping.monitor": "train/loss", "callbacks.early_stopping.mode": "max", "trainer.max_steps": "3",
}  # fmt: skip
STARTS_PROCESSES = {"trainer.strategy", "trainer.num_nodes"}
FAST = {"optimizer.lr", "seed", "trainer.precision", "callbacks.early_stopping.patience", "name", "model.d_model"}


def another(key, value):
    """Returns a different valid value for a key."""
    if key in OTHER:
        return OTHER[key]
    if isinstance(value, bool):
        return str(not value).lower()
    if isinstance(value, int):
        return str(value + 1)
    if isinstance(value, float):
        return str(value / 2 or 0.25)
    if isinstance(value, list):
        return str([another("", v) if not isinstance(v, float) else v / 2 for v in value])
    return "other" if isinstance(value, str) else "1"


def keys():
    from omegaconf import OmegaConf

    from headscope.config.overrides import flat

    found = flat(OmegaConf.to_container(composed(*TINY), resolve=True))
    marks = {key: () if key in FAST else pytest.mark.slow for key in found}
    return [
        pytest.param(key, another(key, value), marks=marks[key], id=key)
        for key, value in found.items()
        if key not in STARTS_PROCESSES
    ]


@pytest.fixture(scope="module")
def one_step(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "run"
    code, printed = train(*TINY, f"hydra.run.dir={folder}")
    assert code == 0, printed
    return folder


@pytest.mark.parametrize(("key", "value"), keys())
def test_a_key_beside_resume_is_used_and_recorded_or_refused(key, value, one_step, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(one_step, folder)
    before = RunFolder(folder).config()
    files = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", "train.log")}
    code, printed = train(f"resume={folder}", "trainer.max_steps=2", f"{key}={value}", cwd=tmp_path)
    run = RunFolder(folder)
    if code == 2:
        assert printed.splitlines()[-1].startswith("error: ")
        assert {
            p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", "train.log")
        } == files
        return
    assert code == 0, printed
    if run.config() == before | {"trainer.max_steps": "2"}:
        assert run.config()[key] == value, "typed, and not taken"
        return
    recorded = {c["key"]: (c["step"], c["after"]) for c in run.changes()}
    assert recorded[key] == (1, run.config()[key]), printed
    assert run.config()[key] != before[key]
    assert json.loads(run.summary_file.read_text())["steps"] == max(2, int(run.config()["trainer.max_steps"]))
