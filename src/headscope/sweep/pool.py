"""Running jobs: one process each, a fixed number at a time, none of which outlives this one.

By hand, because no library runs processes with their own GPUs, stops them with their checkpoints saved, and lets a
search cut one short: a slot is a thread that waits for its process, and this thread looks at all of them once a second.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from headscope import waiting
from headscope.config.overrides import quoted
from headscope.errors import Interrupted, UserError
from headscope.run.folder import STARTED, RunFolder, Status
from headscope.run.processes import kill, stopping
from headscope.shell import argument
from headscope.sweep.display import JobDisplay
from headscope.sweep.jobs import Job, note

POLL = 1.0  #: seconds between two looks at the jobs
PATIENCE = 60.0  #: seconds that a job has to save its checkpoint when it is told to stop


class Plan:
    """Where jobs come from, and what becomes of them: here from a list, one after the other.

    Args:
        left: to be run.
        done: that ended before this process.
    """

    def __init__(self, left: Sequence[Job] = (), done: Sequence[Job] = ()) -> None:
        self.left, self.done, self.total = list(left), list(done), len(left) + len(done)

    def next(self) -> Job | None:
        """The next job, asked for when a slot is free; None if there is none."""
        return self.left.pop(0) if self.left else None

    def unpromising(self, job: Job, status: Status) -> bool:
        """Whether to cut a running job short."""
        return False

    def ended(self, job: Job, status: Status) -> None:
        """Called for each job that has ended."""


@dataclass
class Running:
    """A job and its process."""

    job: Job
    slot: int
    process: subprocess.Popen[bytes]
    told: float | None = None  #: when it was told to stop


def visible_gpus() -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them, found without torch."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number in range(f"\n{listed}".count("\nGPU "))]


def gpus_of(slot: int, per_job: int, gpus: Sequence[str]) -> str:
    """The devices of a slot, as CUDA_VISIBLE_DEVICES takes them."""
    return ",".join(gpus[(slot * per_job + i) % len(gpus)] for i in range(per_job))


def arguments(job: Job, folder: Path) -> list[str]:
    """The command line of a job: as it was composed, or `resume=` with what is new if it was started before."""
    run = RunFolder(folder)
    if not run.started:
        return [*job.overrides, f"hydra.run.dir={quoted(str(folder))}", "hydra.mode=RUN"]
    before = set(run.overrides())
    return [f"resume={folder}", *(o for o in job.overrides if o not in before)]


class Pool:
    """Runs the jobs of a plan.

    A signal is passed on to the jobs, whose checkpoints it waits for; a second one ends them. A job in turn ends when
    its parent has ended: see `headscope.run.processes`.

    Args:
        n_jobs: at the same time; None is one, or as many as the GPUs allow.
        gpus_per_job: on a machine with GPUs.

    Raises:
        UserError: a number is out of range.
    """

    def __init__(self, folder: Path, n_jobs: int | None, gpus_per_job: int) -> None:
        for key, value in (("n_jobs", n_jobs), ("gpus_per_job", gpus_per_job)):
            if not (type(value) is int and value >= 1) and (value is not None or key != "n_jobs"):
                raise UserError(f"hydra.launcher.{key}={value} must be an integer of at least 1")
        self.folder, self.gpus_per_job, self.gpus = folder, gpus_per_job, visible_gpus()
        self.n_jobs = n_jobs or max(len(self.gpus) // gpus_per_job, 1)
        if self.gpus and gpus_per_job > 1 and self.n_jobs * gpus_per_job > len(self.gpus):
            raise UserError(
                f"{self.n_jobs} jobs of {gpus_per_job} GPUs each need more than {len(self.gpus)}; lower one"
            )
        self.running: dict[Future[int], Running] = {}  # by its exit code, which a thread waits for
        self.threads = ThreadPoolExecutor(self.n_jobs)
        self.signals: list[int] = []

    def run(self, plan: Plan, display: JobDisplay) -> None:
        """Runs jobs until the plan has no more.

        Raises:
            Interrupted: a signal stopped the sweep; every job has ended.
        """
        before = {s: signal.signal(s, lambda signum, _: self.signals.append(signum)) for s in stopping()}
        try:
            while self._start_some(plan, display):
                wait(self.running, POLL, FIRST_COMPLETED)
                self._look(plan, display)
        finally:
            for r in self.running.values():
                kill(r.process)
            for s, handler in before.items():
                signal.signal(s, handler)
        if self.signals:
            raise Interrupted(self.signals[0], f"resume the sweep with {argument('resume=', self.folder)}")

    def _start_some(self, plan: Plan, display: JobDisplay) -> bool:
        """Fills the free slots; False if nothing runs then."""
        while len(self.running) < self.n_jobs and not self.signals and (job := plan.next()):
            slot = min(set(range(self.n_jobs)) - {r.slot for r in self.running.values()})
            process = self._start(job, slot)
            self.running[self.threads.submit(process.wait)] = Running(job, slot, process)
            display.started(job)
        return bool(self.running)

    def _look(self, plan: Plan, display: JobDisplay) -> None:
        """Sees how far each job is, stops those that should stop, and takes in those that have ended."""
        for ended, r in list(self.running.items()):
            if not ended.done():
                status = RunFolder(self.folder / r.job.name).status(running=True)
                display.running(r.job, status)
                if not r.told and (self.signals or plan.unpromising(r.job, status)):
                    r.process.terminate()
                    r.told = time.monotonic()
                elif r.told and (time.monotonic() - r.told > PATIENCE or len(self.signals) > 1):
                    kill(r.process)
                continue
            del self.running[ended]
            kill(r.process)  # a rank of it that may be left
            if ended.result() < 0 and not r.told:
                killed = signal.Signals(-ended.result()).name
                note(self.folder / r.job.name, f"error: the process was killed by {killed}")
            status = RunFolder(self.folder / r.job.name).status()
            plan.ended(r.job, status)
            display.ended(r.job, status)

    def _start(self, job: Job, slot: int) -> subprocess.Popen[bytes]:
        folder = RunFolder(self.folder / job.name)
        script = str(Path(sys.argv[0]).resolve())  # the one that was started
        line = [sys.executable, script, *arguments(job, folder.path)]
        note(folder.path, f"{STARTED}{time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(line[1:])}")
        environment = dict(os.environ)  # names this process as the parent
        if self.n_jobs > 1:
            environment |= waiting.beside_others()
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus_of(slot, self.gpus_per_job, self.gpus)
        with folder.job_log.open("ab") as log:
            return subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process, which passes it on
            )
