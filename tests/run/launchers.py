"""Two gloo processes of one run, started as SLURM, torchrun or Lightning starts them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import ROOT

#: A run that trains until it is stopped; its processes compare their signals at every tenth step.
RUN = (
    *("train.py", "data=pydoc", "model.d_model=32", "model.n_layers=1", "model.n_heads=2", "model.block_size=16"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.max_steps=100000", "trainer.val_check_interval=20"),
    *("callbacks=none", "logger=none", "trainer=ddp", "trainer.devices=2"),
)
CLEARED = ("SLURM_", "TORCHELASTIC_", "MASTER_", "RANK", "LOCAL_RANK", "WORLD_SIZE", "HEADSCOPE_PARENT")


class Job:
    """The processes that a launcher started: `launched` by the test, and `ranks`, whose parent is `launched[0]`."""

    def __init__(self, folder, launched, ranks=None):
        self.folder, self.launched, self._ranks = folder, launched, ranks

    def ranks(self):
        """The numbers of the processes that train."""
        if self._ranks is not None:
            return self._ranks
        (agent,) = self.launched
        return sorted(children(agent.pid))

    def wait_for(self, step):
        """Waits until the run has saved a checkpoint at a step or later."""
        deadline = time.monotonic() + 120
        while progress(self.folder) < step:
            assert all(p.poll() is None for p in self.launched), self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def send(self, signum, ranks=True):
        """Sends a signal to every process that trains, or only to those that the test launched."""
        for pid in self.ranks() if ranks else [p.pid for p in self.launched]:
            os.kill(pid, signum)

    def codes(self, timeout=90):
        """The exit codes of the launched processes, when they have ended."""
        return [p.wait(timeout) for p in self.launched]

    def output(self):
        """What they have printed."""
        return "\n".join(p.log.read_text() for p in self.launched)


def progress(folder):
    """The step of the newest entry of progress.json that has a checkpoint; 0 before the first one."""
    try:
        history = json.loads((folder / "progress.json").read_text())["history"]
        return history[-1]["step"] if history and (folder / "checkpoints" / "last.ckpt").exists() else 0
    except (OSError, ValueError):
        return 0


def children(pid):
    """The processes that a process started."""
    return [int(n) for file in Path(f"/proc/{pid}/task").glob("*/children") for n in file.read_text().split()]


def is_running(pid):
    """Whether a process has not ended; a process that has ended, and that nobody waits for, has no command."""
    with suppress(OSError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    return False


@contextmanager
def killed(pids):
    """Kills what is left of processes at the end."""
    try:
        yield pids
    finally:
        for pid in filter(is_running, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def started(folder, commands):
    """Starts commands, each with variables of its own, and kills what is left of them at the end."""
    launched = []
    folder.parent.mkdir(parents=True, exist_ok=True)
    base = {k: v for k, v in os.environ.items() if not k.startswith(CLEARED)}
    try:
        for i, (command, env) in enumerate(commands):
            log = folder.parent / f"{folder.name}-{i}-{time.monotonic_ns()}.txt"
            with log.open("w") as f:
                process = subprocess.Popen(
                    [sys.executable, *map(str, command)],
                    cwd=ROOT, env=base | env, stdout=f, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            process.log = log
            launched.append(process)
        yield launched
    finally:
        for process in launched:
            with killed([*children(process.pid), process.pid]):
                pass
            process.wait()


def slurm_variables():
    """Returns the variables that `srun` gives to each of two tasks on one machine, except the number of the task."""
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_NODEID": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }


@contextmanager
def slurm(folder, *overrides, second=(), **env):
    """The variables that `srun` gives each of two tasks on one machine; `second`: overrides of the second task only."""
    shared = slurm_variables()
    command = (*RUN, f"hydra.run.dir={folder}", *overrides)
    tasks = [
        ((*command, *more), shared | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)} | env)
        for i, more in enumerate(((), second))
    ]
    with started(folder, tasks) as launched:
        yield Job(folder, launched, [p.pid for p in launched])


@contextmanager
def torchrun(folder, *overrides, options=(), **env):
    """torchrun with two workers; `options` are its own."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--monitor-interval=0.2", *options)
    with started(folder, [((*launcher, *RUN, f"hydra.run.dir={folder}", *overrides), env)]) as launched:
        yield Job(folder, launched)


@contextmanager
def alone(folder, *overrides, **env):
    """One command, which starts the second process itself; it resumes the run in the folder if there is one."""
    has_begun = (folder / ".hydra" / "overrides.yaml").exists()
    command = ("train.py", f"resume={folder}") if has_begun else (*RUN, f"hydra.run.dir={folder}", *overrides)
    with started(folder, [(command, env)]) as launched:
        yield Job(folder, launched, [launched[0].pid])
