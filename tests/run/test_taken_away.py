"""If a run's folder is removed, the run ends with exit code 3. If the clock is set back, the run continues."""

import shutil
import time

import pytest

from headscope.run.checkpoints import RngState
from headscope.run.folder import RunFolder
from headscope.run.history import History
from tests.inside import train
from tests.test_full_disk import TINY


def removed(folder):
    shutil.rmtree(folder)


def replaced(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def a_file_in_place_of_the_checkpoints(folder):
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").write_text("")


def a_folder_in_place_of_the_table(folder):
    (folder / "heads.csv").unlink()
    (folder / "heads.csv").mkdir()


def taken(folder, monkeypatch, how, *options):
    """Trains three steps with a validation after each; `how` changes the folder before the second step."""
    monkeypatch.setattr(
        RngState, "on_train_batch_start", lambda _, trainer, *__: trainer.global_step == 1 and how(folder)
    )
    return train(*TINY, *options, "trainer.max_steps=3", f"hydra.run.dir={folder}")


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
@pytest.mark.parametrize("how", [removed, replaced])
def test_a_run_without_its_folder_stops_and_writes_no_other(how, logger, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    code, printed = taken(folder, monkeypatch, how, f"logger={logger}")
    assert code == 3, printed
    assert printed.splitlines()[-1].startswith(f"error: {folder} was removed while the run trained")
    assert "continue with" not in printed
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("how", [a_file_in_place_of_the_checkpoints, a_folder_in_place_of_the_table])
def test_a_place_that_cannot_be_written_any_more_is_a_failure_of_the_run(how, tmp_path, monkeypatch):
    """Read-only folders would cause the same error, but not for root."""
    folder = tmp_path / "run"
    code, printed = taken(folder, monkeypatch, how, "logger=none")
    assert code == 3, printed
    assert "cannot be used: " in printed.splitlines()[-1]
    assert RunFolder(folder).summary()["status"] == "failed"
    assert RunFolder(folder).occupied, "what was there is kept"


def test_a_clock_that_is_set_back_takes_no_second_away(tmp_path, monkeypatch):
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began - 3600)
    history = History()
    assert 0 <= history.wall_seconds() < 60


def test_a_run_while_the_clock_is_set_back(tmp_path, monkeypatch):
    now = time.time
    folder = tmp_path / "run"
    code, printed = taken(
        folder, monkeypatch, lambda _: monkeypatch.setattr(time, "time", lambda: now() - 86400), "logger=tensorboard"
    )
    assert code == 0, printed
    summary = RunFolder(folder).summary()
    assert 0 <= summary["train_seconds"] <= summary["wall_seconds"] < 600
    seconds = [h["seconds"] for h in summary["history"]]
    assert seconds == sorted(seconds)


def test_a_refused_run_leaves_nothing_whatever_the_clock_says(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    code, printed = train(*TINY, "model.n_heads=3", f"hydra.run.dir={tmp_path}/run")
    assert code == 2, printed
    assert not list(tmp_path.iterdir())
