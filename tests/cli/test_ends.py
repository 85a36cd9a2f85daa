"""The last lines of a run state how it ended, and name only files that it wrote."""

import pytest

from tests.inside import train

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.threads=1", "trainer.accelerator=cpu", "trainer.val_check_interval=1"),
)


@pytest.mark.parametrize(
    ("overrides", "printed", "unprinted"),
    [
        (["logger=none", "trainer.max_steps=2"], "next:", ["tensorboard", "ended before"]),
        (["logger=csv", "trainer.max_steps=2"], "next:", ["tensorboard"]),
        (["logger=[csv,tensorboard]", "trainer.max_steps=2"], "tensorboard --logdir", ["ended before"]),
        (
            ["logger=none", "trainer.max_steps=1000000", "+trainer.max_time=00:00:00:01"],
            "ended before step 1000000: trainer.max_time has elapsed",
            [],
        ),
        (
            [
                *("logger=none", "trainer.max_steps=50", "+callbacks.early_stopping.patience=1"),
                *("+callbacks.early_stopping._target_=lightning.pytorch.callbacks.EarlyStopping",),
                *("+callbacks.early_stopping.monitor=val/loss", "+callbacks.early_stopping.min_delta=100"),
            ],
            "ended before step 50: callbacks.early_stopping stopped it, because the loss no longer improved; continue",
            ["max_time has elapsed"],
        ),
    ],
    ids=["none", "csv", "two", "time", "early"],
)
def test_the_last_lines_name_what_happened(overrides, printed, unprinted, tmp_path):
    code, output = train(*TINY, "callbacks=none", *overrides, f"hydra.run.dir={tmp_path}/run")
    assert code == 0
    assert printed in output
    assert not [words for words in unprinted if words in output]
