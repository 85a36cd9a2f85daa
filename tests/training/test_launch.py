"""Several machines: how a process reads the variables of torchrun and SLURM."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from lightning.pytorch.utilities import rank_zero_only

from headscope.errors import UserError
from headscope.training.trainer import RANKS, launcher_plugins
from tests.cli.test_commands import refused
from tests.conftest import ROOT, shell
from tests.run.launchers import free_port, slurm_variables

RUN = (
    *("data=pydoc", "model.d_model=32", "model.n_layers=1", "model.block_size=32", "trainer=ddp"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.max_steps=20", "trainer.val_check_interval=10"),
)


def losses(folder):
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["hardware"]["devices"] == 2
    return [h["val_loss"] for h in summary["history"]]


@pytest.fixture(scope="module")
def one_machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "run"
    done = shell("train.py", *RUN, "trainer.devices=2", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return losses(folder)


@pytest.mark.slow
def test_two_machines_of_torchrun(one_machine, tmp_path):
    """Starts two launchers with one process each, as two machines would."""
    folder, port = tmp_path / "run", free_port()
    launcher = ("-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", f"--master-port={port}")
    command = ("train.py", *RUN, "trainer.devices=1", "trainer.num_nodes=2", f"hydra.run.dir={folder}")
    machines = [
        subprocess.Popen([sys.executable, *launcher, f"--node-rank={i}", *command], cwd=ROOT, stderr=subprocess.DEVNULL)
        for i in range(2)
    ]
    assert [m.wait(timeout=120) for m in machines] == [0, 0]
    assert losses(folder) == one_machine
    assert len(list(folder.glob("*.log"))) == 1, "only one process writes"


@pytest.mark.slow
def test_two_tasks_of_slurm(one_machine, tmp_path):
    """Sets the variables that `srun` would give to each of two tasks on one machine."""
    folder, shared = tmp_path / "run", slurm_variables()
    tasks = [
        subprocess.Popen(
            [sys.executable, "train.py", *RUN, "trainer.devices=2", f"hydra.run.dir={folder}"],
            cwd=ROOT,
            env=os.environ | shared | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
        )
        for i in range(2)
    ]
    assert [t.wait(timeout=120) for t in tasks] == [0, 0]
    assert losses(folder) == one_machine
    assert len(list(folder.glob("*.log"))) == 1, "only one process writes"


@pytest.mark.slow
def test_a_job_that_slurm_starts_again_goes_on(pydoc_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(pydoc_run[0], folder)
    command = ("train.py", "data=pydoc", "position=rope", "model.dropout=0.1", f"hydra.run.dir={folder}")
    command += ("trainer.max_steps=31", "trainer.val_check_interval=10")
    assert "already contains a run" in shell(*command).stderr
    done = shell(*command, SLURM_RESTART_COUNT="1")
    assert done.returncode == 0, done.stderr
    assert f"resuming {folder} at step 30" in done.stdout
    new = shell(*command[:-3], "trainer.max_steps=1", f"hydra.run.dir={tmp_path}/new", SLURM_RESTART_COUNT="1")
    assert new.returncode == 0, new.stderr


def variables(monkeypatch, **given):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "JSM_", "OMPI_", "TORCHELASTIC_")) or name in (*RANKS, "WORLD_SIZE"):
            monkeypatch.delenv(name)
    for name in (*RANKS, "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores the variable
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", int(given.get("RANK", given.get("SLURM_PROCID", 0))))


STEP = {"SLURM_STEP_NODELIST": "a", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2", "SLURM_PROCID": "1"}


@pytest.mark.parametrize(
    ("devices", "given"),
    [
        (1, {"SLURM_NTASKS": "2"}),
        (1, {"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"}),
        (2, {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "7"}),
        (1, STEP | {"SLURM_JOB_NAME": "bash"}),
        (1, STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}),
        (1, {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "elsewhere"}),
        (2, {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "elsewhere"}),
        (2, {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}),
        (1, {"SLURM_NTASKS": "", "WORLD_SIZE": "two"}),
        (1, {"PBS_NODEFILE": "x", "PBS_NP": "8", "LSB_JOBID": "7", "LSB_DJOB_RANKFILE": "x"}),
    ],
)
def test_a_process_that_no_launcher_started_is_the_first_whatever_is_left_there(devices, given, monkeypatch):
    variables(monkeypatch, **given)
    (plugin,) = launcher_plugins(devices, 1)
    assert not plugin.creates_processes_externally
    assert (plugin.global_rank(), plugin.local_rank(), plugin.node_rank()) == (0, 0, 0)
    assert plugin.main_address == "127.0.0.1"
    assert rank_zero_only.rank == 0


@pytest.mark.parametrize(
    ("devices", "nodes", "given"),
    [
        (2, 1, STEP),
        (1, 2, STEP | {"SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "1"}),
        (2, 1, {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}),
        (2, 1, {"JSM_NAMESPACE_SIZE": "2"}),
    ],
)
def test_a_process_of_a_launcher_is_left_to_lightning(devices, nodes, given, monkeypatch):
    variables(monkeypatch, **given)
    before = rank_zero_only.rank
    assert launcher_plugins(devices, nodes) == []
    assert rank_zero_only.rank == before
    if given.keys() >= STEP.keys():
        assert os.environ["SLURM_NTASKS_PER_NODE"] == str(devices), (
            "srun --ntasks does not set this variable, which Lightning needs"
        )


def test_a_rank_that_lightning_started_stays_one(monkeypatch):
    variables(monkeypatch, LOCAL_RANK="1", WORLD_SIZE="2", NODE_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="1")
    (plugin,) = launcher_plugins(2, 1)
    assert plugin.creates_processes_externally
    assert plugin.local_rank() == 1
    assert plugin.main_port == 1


@pytest.mark.parametrize(
    ("devices", "nodes", "given", "message"),
    [
        (1, 1, STEP, r"srun has started 2 processes \(SLURM_STEP_NUM_TASKS\), but the run is for 1"),
        (4, 1, STEP, "srun has started 2 processes"),
        (2, 1, STEP | {"SLURM_NTASKS_PER_NODE": "4"}, "trainer.devices=2, but SLURM gives 4"),
        (2, 1, STEP | {"SLURM_NNODES": "2"}, "trainer.num_nodes=1, but SLURM gives 2"),
        (1, 1, {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"}, "torchrun has started 2 processes"),
        (1, 1, {"OMPI_COMM_WORLD_SIZE": "3"}, "mpirun has started 3 processes"),
        (1, 1, {"RANK": "1"}, "RANK=1 in the environment .* unset RANK$"),
        (1, 1, {"RANK": "0", "WORLD_SIZE": "2"}, "WORLD_SIZE=2 in the environment .* unset WORLD_SIZE$"),
        (
            2,
            1,
            {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"},
            "use torchrun, or unset RANK LOCAL_RANK WORLD_SIZE",
        ),
        (1, 1, {"NODE_RANK": "1"}, "unset NODE_RANK"),
        (1, 2, {}, "trainer.num_nodes=2, but no launcher has started this process; use torchrun or srun"),
    ],
)
def test_what_speaks_of_other_processes_is_refused(devices, nodes, given, message, monkeypatch):
    variables(monkeypatch, **given)
    with pytest.raises(UserError, match=message):
        launcher_plugins(devices, nodes)


def test_a_shell_of_slurm_trains_as_one_process(tmp_path):
    folder = tmp_path / "run"
    command = ("train.py", *RUN, f"hydra.run.dir={folder}", "trainer.max_steps=2")
    alone = [a for a in command if a != "trainer=ddp"]
    assert "unset RANK" in refused(shell(*alone, RANK="1", WORLD_SIZE="2"))
    assert not folder.exists()
    done = shell(*alone, "callbacks=none", "logger=none", SLURM_NTASKS="2", SLURM_JOB_ID="7")
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "summary.json").read_text())["hardware"]["devices"] == 1
