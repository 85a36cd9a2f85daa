"""If a job of a grid cannot be built, it is named before the first job starts."""

from unittest.mock import patch

import pytest

from headscope.sweep import grid_check
from tests.inside import train

TINY = ("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.block_size=16", "trainer.max_steps=2")


class Here:
    """An executor that runs functions in this process."""

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *args):
        return None

    def map(self, function, arguments):
        return map(function, arguments)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.n_heads=3,5"], "error: 3 heads do not divide the width d_model=32; these do: 1, 2"),
        (["schedule.warmup_steps=-2,-1"], "error: schedule.warmup_steps=-2 must be at least 0"),
        (["trainer.min_steps=1,3"], "error: trainer.min_steps is not in conf/trainer; add it with +,"),
        (["data=text", "seed=1,2"], "error: data.path has no value"),
        (["model.n_heads=3"], "error: 3 heads do not divide"),
    ],
)
def test_where_no_job_can_be_built_none_starts(overrides, message, tmp_path):
    with patch.object(grid_check, "ProcessPoolExecutor", Here):
        code, said = train("-m", *TINY, *overrides, f"hydra.sweep.dir={tmp_path}/sweep")
    assert code == 2
    assert message in said.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_those_that_cannot_be_built_are_named_before_the_others_start(tmp_path):
    """The check runs in a separate process; nothing is trained."""
    with patch("headscope.sweep.launcher.launch", side_effect=lambda *args: print("the first job")):
        several = ("model.n_heads=2,3", "seed=1,2", "+trainer.min_steps=1,3")
        code, said = train("-m", *TINY, *several, f"hydra.sweep.dir={tmp_path}/sweep")
    assert code == 0
    *named, last = [
        line for line in said.splitlines() if "cannot be built and will fail" in line or "first job" in line
    ]
    assert last == "the first job"
    assert len(named) == 6
    assert named[0].startswith(
        "model.n_heads=2 seed=1 +trainer.min_steps=3 cannot be built and will fail: trainer.min_"
    )
    assert "model.n_heads=3 seed=2 +trainer.min_steps=1 cannot be built and will fail: 3 heads do not" in "".join(named)


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (["hydra.sweep.subdir=lr-${optimizer.lr}"], "hydra.sweep.subdir"),
        (["hydra.sweep.subdir=x", "hydra/launcher=basic"], "hydra.sweep.subdir"),
        (["hydra.sweep.subdir=x", "hydra/sweeper=basic"], "hydra.sweep.subdir"),
        (["hydra.run.dir=outputs/x"], "hydra.run.dir"),
        (["paths.run_dir=outputs/x"], "paths.run_dir"),
    ],
)
def test_a_key_that_would_not_name_the_folders_of_the_jobs_is_refused(typed, key, tmp_path):
    with patch("headscope.sweep.launcher.launch", side_effect=AssertionError("a job starts")):
        code, said = train("-m", *TINY, "seed=1,2", *typed, f"hydra.sweep.dir={tmp_path}/sweep")
    assert code == 2
    assert said.splitlines()[-1] == (
        f"error: {key} has no effect, because a sweep names the folder of each job after its overrides;"
        " use hydra.sweep.dir=… for the sweep's folder"
    )
    assert not list(tmp_path.iterdir())
