"""Running jobs: a process each, so many at once, none of which outlives this one."""

import os
import shlex
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from headscope.errors import Interrupted, UserError
from headscope.run.folder import STARTED, RunFolder, Status
from headscope.sweep.jobs import Job, quoted
from headscope.sweep.table import Table

POLL = 0.1  #: seconds between two looks at the jobs
PATIENCE = 60.0  #: seconds that a job has to save its checkpoint when it is told to stop


class Plan(ABC):
    """Where jobs come from, and what becomes of them."""

    @abstractmethod
    def next(self) -> Job | None:
        """The next job, asked for when there is room; None when there is none."""

    def unpromising(self, job: Job, status: Status) -> bool:
        """Whether to cut a running job short."""
        return False

    @abstractmethod
    def ended(self, job: Job, status: Status) -> None:
        """Told of each job that has come to its end."""


@dataclass
class Running:
    """A job and its process."""

    job: Job
    slot: int
    process: subprocess.Popen[bytes]
    told: float | None = None  #: when it was told to stop


def script() -> str:
    """The command that trains: the one that was started."""
    return str(Path(sys.argv[0]).resolve())


def n_gpus() -> int:
    """GPUs of this machine, asked without torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([gpu for gpu in visible.split(",") if gpu.strip() not in ("", "-1")])
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def gpus_of(slot: int, per_job: int, gpus: int) -> str | None:
    """The devices of a slot, as CUDA_VISIBLE_DEVICES wants them; None on a machine without."""
    if not gpus:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
    return ",".join(visible[(slot * per_job + i) % gpus] for i in range(per_job))


def arguments(job: Job, folder: Path) -> list[str]:
    """The command line of a job: as it was composed, or `resume=` where it has begun, with what is new."""
    run = RunFolder(folder)
    if not run.started:
        return [*job.overrides, f"hydra.run.dir={quoted(str(folder))}", "hydra.mode=RUN"]
    before = set(run.overrides())
    return [f"resume={folder}", *(o for o in job.overrides if o not in before)]


class Pool:
    """Runs the jobs of a plan.

    Told to stop, it tells the jobs and waits for their checkpoints; told twice, it ends them. A job in turn ends when
    it finds that its parent has: see `headscope.cli.command`.

    Args:
        folder: of the sweep.
        n_jobs: at once.
        gpus_per_job: of a machine that has them.
    """

    def __init__(self, folder: Path, n_jobs: int | None, gpus_per_job: int) -> None:
        self.folder, self.gpus_per_job, self.gpus = folder, gpus_per_job, n_gpus()
        self.n_jobs = n_jobs or max(self.gpus // gpus_per_job, 1)
        if self.gpus and gpus_per_job > 1 and self.n_jobs * gpus_per_job > self.gpus:
            raise UserError(
                f"{self.n_jobs} jobs of {gpus_per_job} GPUs each do not fit {self.gpus}; use fewer of either"
            )
        self.running: list[Running] = []
        self.signals: list[int] = []

    def run(self, plan: Plan, table: Table) -> None:
        """Until the plan has no more jobs.

        Raises:
            Interrupted: told to stop; every job has ended.
        """
        before = {s: signal.signal(s, self._remember) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            with table:
                while self._start_some(plan, table):
                    time.sleep(POLL)
                    self._look(plan, table)
        finally:
            for r in self.running:
                _end(r, signal.SIGKILL)
            for s, handler in before.items():
                signal.signal(s, handler)
        if self.signals:
            raise Interrupted(self.signals[0], f"go on with resume={self.folder}")

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self.signals.append(signum)

    def _start_some(self, plan: Plan, table: Table) -> bool:
        """Starts what there is room for; False when nothing runs then."""
        while len(self.running) < self.n_jobs and not self.signals and (job := plan.next()):
            slot = min(set(range(self.n_jobs)) - {r.slot for r in self.running})
            self.running.append(self._start(job, slot))
            table.started(job)
        return bool(self.running)

    def _look(self, plan: Plan, table: Table) -> None:
        """At all that runs: how far it is, whether to stop it, whether it has ended."""
        for r in list(self.running):
            code = r.process.poll()
            if code is None:
                now = RunFolder(self.folder / r.job.name).status(running=True)
                table.running(r.job, now)
                if not r.told and plan.unpromising(r.job, now):
                    self._tell(r)
                elif r.told and (time.monotonic() - r.told > PATIENCE or len(self.signals) > 1):
                    _end(r, signal.SIGKILL)
                elif self.signals and not r.told:
                    self._tell(r)
                continue
            self.running.remove(r)
            _end(r, signal.SIGKILL)  # a rank of it that may be left
            if code < 0 and not r.told:
                self._note(r.job, f"error: the process was killed by {signal.Signals(-code).name}")
            ended = RunFolder(self.folder / r.job.name).status()
            plan.ended(r.job, ended)
            table.ended(r.job, ended)

    def _tell(self, r: Running) -> None:
        r.process.send_signal(signal.SIGTERM)
        r.told = time.monotonic()

    def _start(self, job: Job, slot: int) -> Running:
        folder = self.folder / job.name
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, script(), *arguments(job, folder)]
        self._note(job, f"{STARTED}{time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(command[1:])}")
        environment = dict(os.environ)  # tells it whose end is its own: see `headscope.cli.command`
        if self.n_jobs > 1:  # threads that spin while they wait take the cores from other jobs: 34 s for 12
            environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        devices = gpus_of(slot, self.gpus_per_job, self.gpus)
        if devices is not None:
            environment["CUDA_VISIBLE_DEVICES"] = devices
        with RunFolder(folder).job_log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for this process, which tells them
            )
        return Running(job, slot, process)

    def _note(self, job: Job, line: str) -> None:
        with RunFolder(self.folder / job.name).job_log.open("ab+") as log:
            log.seek(max(log.tell() - 1, 0))
            cut_off = log.read() not in (b"", b"\n")
            log.write(b"\n" * cut_off + f"{line}\n".encode())


def _end(r: Running, signum: int) -> None:
    try:
        os.killpg(r.process.pid, signum)
    except ProcessLookupError:
        return
    r.process.wait()
