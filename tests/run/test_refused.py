"""A run that is refused before its first step leaves no files, so the corrected command can use the same folder."""

import pytest

from tests.inside import train

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.max_steps=2", "trainer.val_check_interval=2", "trainer.threads=1", "trainer.accelerator=cpu"),
    *("callbacks=none", "logger=none"),
)

REFUSALS = [
    (["batch_size=3", "trainer.devices=2"], "cannot be shared by 2 processes"),
    (["data=text", "data.path=SHORT"], "short.txt"),
    (["data=text"], "data.path has no value"),
    (["data=text", "data.path=/nonexistent"], "does not exist"),
    (["data=text", "data.path=FOLDER", "data.tokenizer=bpe", "data.vocab_size=100000"], "data.vocab_size"),
    (["trainer.precision=16-mixed"], "needs a GPU"),
    (["heads=h3", "model.d_model=32"], "there is no heads=h3"),
    (["model.n_heads=3"], "3 heads do not divide"),
    (
        ["callbacks=early_stopping", "callbacks.early_stopping.monitor=foo"],
        "callbacks.early_stopping.monitor=foo is never",
    ),
    (["+callbacks.x._target_=lightning.pytorch.callbacks.ModelCheckpoint", "+callbacks.x.mode=foo"], "mode"),
    (["callbacks=early_stopping", "+callbacks.early_stopping.mode=up"], "`mode` can be min, max, got up"),
    (["+callbacks.x._target_=lightning.pytorch.callbacks.DeviceStatsMonitor"], "logger"),
    (["init=/nonexistent"], "there is no checkpoint"),
    (["task=validate"], "task=validate needs a model"),
    (["hydra.job.chdir=true"], "hydra.job.chdir=true would change relative"),
    (["trainer.num_nodes=2"], "no launcher has started this process"),
    (["+trainer.plugins=x"], "trainer.plugins cannot be set"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSALS, ids=lambda x: x[-1] if isinstance(x, list) else "")
def test_nothing_is_left(overrides, message, tmp_path):
    there = REFUSALS.index((overrides, message)) % 2  # in every second case, the folder contains a file of the user
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "short.txt").write_text("ab")
    given = [
        o.replace("SHORT", f"{tmp_path}/folder/short.txt").replace("FOLDER", f"{tmp_path}/folder") for o in overrides
    ]
    run = tmp_path / "run"
    if there:
        (run / "notes").mkdir(parents=True)
        (run / "notes" / "mine.txt").write_text("mine")
    code, printed = train(*TINY, *given, f"hydra.run.dir={run}")
    assert code == 2, printed
    assert message in printed.splitlines()[-1]
    assert sorted(run.rglob("*")) == ([run / "notes", run / "notes" / "mine.txt"] if there else [])
    assert run.exists() == bool(there)
