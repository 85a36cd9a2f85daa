"""A run's folder: its lock, its status and its records."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from headscope.errors import UserError
from headscope.run import lock
from headscope.run.folder import RunFolder, is_resumed
from tests.inside import train

HOLD = "import sys, time; from pathlib import Path; from headscope.run import lock\n"
HOLD += "lock.acquire(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def owner(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def ended(process):
    process.wait()
    process.stdout.close()


def test_a_second_owner_is_refused_and_a_dead_one_gives_way(tmp_path):
    process = owner(tmp_path / "run")
    with pytest.raises(UserError, match=f"is in use by process {process.pid} on .*; wait until it ends") as error:
        lock.acquire(tmp_path / "run")
    assert "\n" not in str(error.value)
    process.kill()
    ended(process)
    lock.acquire(tmp_path / "run")
    lock.acquire(tmp_path / "run")  # locking twice has no further effect
    assert f"process {os.getpid()}" in (tmp_path / "run" / ".lock").read_text()
    lock.release(tmp_path / "run")
    again = owner(tmp_path / "run")
    again.send_signal(signal.SIGTERM)
    ended(again)
    lock.acquire(tmp_path / "run")


def test_a_process_that_was_stopped_still_owns_its_folder(tmp_path):
    process = owner(tmp_path)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    try:
        with pytest.raises(UserError, match="is in use"):
            lock.acquire(tmp_path)
    finally:
        process.kill()
        ended(process)


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/run"])
def test_a_folder_that_cannot_be_written_is_one_line(folder):
    code, printed = train("data=pydoc", "trainer=cpu", "logger=none", f"hydra.run.dir={folder}")
    assert code == 2
    assert re.search(r"^error: .* cannot be used: .*; choose another folder$", printed)


def test_what_is_recorded_is_read_back(tmp_path):
    run = RunFolder(tmp_path)
    config = {"model": {"d_model": 8, "dropout": 0.1}, "name": 'é, "x"', "callbacks": {}, "init": None, "lr": 1e-05}
    run.record(config, ["name='é, \"x\"'", "seed=1", "+x=1e-5"])
    assert run.overrides() == ["name='é, \"x\"'", "seed=1", "+x=1e-5"]
    flat = {"model.d_model": "8", "model.dropout": "0.1", "name": 'é, "x"', "callbacks": "{}", "init": "null"}
    assert run.config() == flat | {"lr": "1e-05"}
    with pytest.raises(UserError, match="no run was started in"):
        RunFolder(tmp_path / "none").overrides()


@pytest.mark.parametrize("content", ["[1]", "- &a [x]\n- [*a, *a]", "- {a: 1}", "[null]"])
def test_overrides_are_texts_only(content, tmp_path):
    run = RunFolder(tmp_path)
    run.record({}, [])
    run.overrides_file.write_text(content)
    with pytest.raises(UserError, match="no run was started in"):
        run.overrides()


def test_a_change_is_recorded_once(tmp_path):
    run = RunFolder(tmp_path)
    for step in (20, 20, 30):
        run.record({}, [], step, {"optimizer.lr": ("0.1", "0.2")})
    assert [c["step"] for c in run.changes()] == [20, 30]


STATES = [
    ({}, "", False, "waiting"),
    ({"progress.json": {"step": 3}}, "", False, "interrupted"),
    ({"progress.json": {"step": 3}}, "", True, "running"),
    ({"summary.json": {"status": "completed"}}, "=== x\nerror: old", False, "completed"),
    ({"summary.json": {"status": "failed"}}, "", False, "failed"),
    ({"summary.json": {"status": "interrupted"}}, "", False, "interrupted"),
    ({"pruned.json": {}}, "=== x\nerror: stopped", False, "pruned"),
    ({}, "=== x\nerror: no such thing", False, "failed"),
]


@pytest.mark.parametrize(("files", "log", "running", "state"), STATES)
def test_status_is_read_from_the_files(tmp_path, files, log, running, state):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    if log:
        (tmp_path / "job.log").write_text(log)
    assert RunFolder(tmp_path).status(running).state == state


def test_a_run_is_resumed_by_its_folder_by_its_sweep_or_by_slurm(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "sweep" / "job")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)

    def resumed(resume):
        return is_resumed(run.path, run.overrides_file, resume)

    assert not resumed(None)
    assert resumed(str(run.path))
    assert not resumed(str(run.path.parent)), "a job that has not begun starts"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not resumed(None), "a job that has not begun starts"
    run.record({}, [])
    assert resumed(None)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert resumed(str(run.path.parent))
    assert not resumed(str(tmp_path))


@pytest.mark.parametrize("content", ["", ": [bad", "3", "a: [1", "\x00", "[a]"])
def test_a_record_that_is_damaged_is_none(tmp_path, content):
    run = RunFolder(tmp_path)
    run.record({"seed": 1}, [])
    run.config_file.write_text(content)
    run.changes_file.write_text('{"changes": 3}')
    assert (run.config(), run.changes()) == ({}, [])
    run.record({}, [], 2, {"seed": ("1", "2")})
    assert len(run.changes()) == 1


@pytest.mark.parametrize(
    ("summary", "occupied"), [("{", True), ('{"steps": "x"}', True), ('{"steps": 3}', True), ('{"steps": 0}', False)]
)
def test_a_run_that_failed_before_its_first_step_leaves_its_folder_free(tmp_path, summary, occupied):
    run = RunFolder(tmp_path)
    assert not run.occupied
    run.checkpoints.mkdir()
    run.summary_file.write_text(summary)
    assert run.occupied == occupied
    run.best.touch()
    assert run.occupied


@pytest.mark.parametrize("given", ["hydra.run.dir=", "resume=", "resume=./"])
def test_a_run_that_is_alive_is_left_alone_by_every_way_of_naming_it(given, tmp_path):
    RunFolder(tmp_path / "run").record({}, ["data=pydoc", "trainer.max_steps=1"])
    process = owner(tmp_path / "run")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    try:
        code, printed = train("data=pydoc", f"{given}{'' if './' in given else f'{tmp_path}/'}run", cwd=tmp_path)
    finally:
        process.kill()
        ended(process)
    assert code == 2
    assert f"run is in use by process {process.pid} on " in printed.splitlines()[-1]
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p.name != "train.log"}
    assert after == before
