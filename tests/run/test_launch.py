"""Several machines: what torchrun and SLURM tell a process, and what it makes of it."""

import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT, shell

RUN = (
    *("data=pydoc", "model.d_model=32", "model.n_layers=1", "model.block_size=32", "trainer=ddp"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.max_steps=20", "trainer.val_check_interval=10"),
)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


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
    """Two launchers of one process each, as on two machines."""
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
    """The variables that `srun` gives each of two tasks on one machine."""
    folder, port = tmp_path / "run", free_port()
    shared = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_NODEID": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
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
    assert "holds a run already" in shell(*command).stderr
    done = shell(*command, SLURM_RESTART_COUNT="1")
    assert done.returncode == 0, done.stderr
    assert f"resuming {folder} at step 30" in done.stdout
    new = shell(*command[:-3], "trainer.max_steps=1", f"hydra.run.dir={tmp_path}/new", SLURM_RESTART_COUNT="1")
    assert new.returncode == 0, new.stderr
