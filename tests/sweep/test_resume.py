"""`resume=DIR`: what it prints."""

import pytest

from tests.inside import train
from tests.sweep.test_grid_check import TINY


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (("trainer.max_steps=4",), "at step 2 with trainer.max_steps=4"),
        (("trainer.max_steps=4", "batch_size=8"), "at step 2 with trainer.max_steps=4, batch_size=8"),
        (("trainer.max_steps=4", "name=b"), "at step 2 with trainer.max_steps=4, name=b"),
    ],
)
def test_a_resume_is_announced_once_with_its_step_and_its_changes(typed, line, tmp_path):
    code, output = train(*TINY, "callbacks=none", "logger=none", f"hydra.run.dir={tmp_path}/run")
    assert code == 0, output
    code, output = train(f"resume={tmp_path}/run", *typed)
    assert code == 0, output
    assert [text for text in output.splitlines() if "resuming" in text] == [f"resuming {tmp_path}/run {line}"]
