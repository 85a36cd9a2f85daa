"""Default folders: a name that exists gets a suffix, and a refused run leaves no files."""

import subprocess
import sys

from headscope.config.composed import _remove_empty, new_folder
from tests.cli.test_commands import refused
from tests.conftest import ROOT, shell

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.max_steps=2", "trainer.val_check_interval=2", "callbacks=none", "logger=none"),
)


def test_a_taken_name_gets_a_suffix(tmp_path):
    wanted = str(tmp_path / "day" / "run")
    assert [new_folder(wanted) for _ in range(3)] == [wanted, f"{wanted}-2", f"{wanted}-3"]


def test_only_empty_folders_are_removed(tmp_path):
    kept, empty = tmp_path / "day" / "kept", tmp_path / "day" / "empty"
    for folder in (kept, empty):
        new_folder(str(folder))
    (kept / "file").touch()
    for folder in (kept, empty):
        _remove_empty(folder)
    assert kept.exists()
    assert not empty.exists()


def test_a_folder_that_cannot_be_created_is_left_to_the_run_to_report():
    assert new_folder("/proc/nowhere/run") == "/proc/nowhere/run"


def test_two_runs_of_the_same_second_have_folders_of_their_own(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), *TINY, "hydra.run.dir=${free:outputs/run}"]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert {path.parent.name for path in tmp_path.glob("outputs/*/summary.json")} == {"run", "run-2"}
    assert "must" in refused(shell(str(ROOT / "train.py"), *TINY, "model.n_layers=-1", cwd=tmp_path))
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"run", "run-2"}
