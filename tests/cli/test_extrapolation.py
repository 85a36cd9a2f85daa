"""`experiment=extrapolation` measures the loss by position beyond the trained context."""

import json
from itertools import pairwise

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.cli.test_commands import refused
from tests.conftest import shell

RUN = (
    *("train.py", "experiment=extrapolation", "data=pydoc", "model.d_model=32", "model.n_layers=1", "heads=h2"),
    *("model.block_size=8", "trainer.max_steps=20", "trainer.val_check_interval=10", "trainer.threads=1"),
    *("callbacks.beyond.targets=64", "callbacks.samples=null"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extrapolation") / "run"
    done = shell(*RUN, f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_summary_has_both_ways_of_looking_for_every_way_to_go_on(run):
    found = json.loads((run / "summary.json").read_text())["loss_by_position"]
    assert (found["trained"], found["ends"]) == (8, "")
    assert found["non_overlapping"].keys() == {"as trained", "interpolate", "ntk", "yarn"}
    assert {len(losses) for losses in found["non_overlapping"].values()} == {32}
    assert {tuple(losses) for losses in found["sliding"].values()} == {("4", "8", "16", "32")}
    losses = found["non_overlapping"]["as trained"]
    assert losses[0] > losses[7], "context helps"
    plain, yarn = (found["sliding"][way] for way in ("as trained", "yarn"))
    assert all(plain[c] != yarn[c] for c in plain)


def test_the_dashboard_has_it_by_position(run):
    (events,) = run.glob("events.*")
    board = EventAccumulator(str(events), size_guidance={"scalars": 0, "images": 0})
    board.Reload()
    points = board.Scalars("watch_loss_by_position/yarn")
    assert [p.step for p in points] == list(range(1, 33))
    losses = json.loads((run / "summary.json").read_text())["loss_by_position"]["non_overlapping"]["yarn"]
    assert [p.value for p in points] == pytest.approx(losses, rel=1e-5)
    assert "watch_loss_by_position" in board.Tags()["images"]
    with Image.open(run / "loss_by_position.png") as picture:
        assert picture.width > 500
    assert (run / "loss_by_position.pdf").stat().st_size > 1000


def test_it_measures_the_model_that_the_run_ends_with(run):
    """A resume does not train a completed run again. The losses of the first 8 positions differ from each other."""
    summary = json.loads((run / "summary.json").read_text())
    done = shell("train.py", f"resume={run}")
    assert done.returncode == 0
    assert "completed" in done.stdout
    half = summary["loss_by_position"]["non_overlapping"]["as trained"][:8]
    assert all(a != b for a, b in pairwise(half))


@pytest.mark.slow
def test_a_table_says_that_it_ends(tmp_path):
    done = shell(*RUN, "position=learned", f"hydra.run.dir={tmp_path}/run", "logger=none")
    assert done.returncode == 0, done.stderr
    assert "the table of learned positions has only 8 vectors, so longer contexts are not measured" in done.stdout
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["loss_by_position"]
    assert found["ends"] == "the table of learned positions has only 8 vectors"
    assert [len(losses) for losses in found["non_overlapping"].values()] == [8]
    assert list(found["sliding"]["as trained"]) == ["4", "8"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data=repeated", "data.longest=8"), "data=repeated has no windows longer than the context"),
        (("callbacks.beyond.times=100000",), "has no window of 800000; use more text, a shorter model.block_size"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(overrides, message, tmp_path):
    assert message in refused(shell(*RUN, *overrides, f"hydra.run.dir={tmp_path}/run"))
    assert not (tmp_path / "run" / "checkpoints").exists()
