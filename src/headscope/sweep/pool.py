"""Runs jobs in separate processes, a fixed number at a time, shows their progress, and ends them with this process.

We found no library that assigns GPUs to processes, lets a process save a checkpoint before it stops, and ends
unpromising jobs early. A separate thread waits for each process, and the main thread polls all jobs once per second.
"""

import contextlib
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

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

from headscope import waiting
from headscope.config.overrides import quote
from headscope.errors import Interrupted, UserError
from headscope.run.folder import STARTED, Status
from headscope.run.plausible import why_implausible
from headscope.run.processes import kill
from headscope.run.signals import stop_signals
from headscope.shell import argument, console
from headscope.sweep.jobs import Job, append_to_log

POLL = 1.0  #: seconds between two polls
PATIENCE = 60.0  #: seconds that a job has after a signal to save its checkpoint before it is killed


class Plan:
    """Supplies the jobs of a sweep one at a time, and receives their results.

    `left` are the jobs to run; `done` are the jobs that ended before this process started.
    """

    def __init__(self, left: Sequence[Job] = (), done: Sequence[Job] = ()) -> None:
        self.left, self.done, self.total = list(left), list(done), len(left) + len(done)

    def next(self) -> Job | None:
        """Returns the next job, or None after the last one; called when a slot becomes free."""
        return self.left.pop(0) if self.left else None

    def should_prune(self, job: Job, status: Status) -> bool:
        """Whether to end a running job early, because its losses are unpromising."""
        return False

    def record_end(self, job: Job, status: Status) -> None:
        """Records the result of a job that has ended."""


class JobDisplay(Progress):
    """Shows the progress of all jobs: as bars on a terminal if `live`, and as one line when a job starts or ends."""

    def __init__(self, total: int, live: bool = True) -> None:
        columns = "{task.description}", BarColumn(), MofNCompleteColumn(), "{task.fields[loss]}", TimeRemainingColumn()
        hidden = not (live and console().is_terminal)
        super().__init__(*columns, console=console(), transient=True, disable=hidden, speed_estimate_period=600)
        self.total, self.done = total, 0
        self.bars: dict[str, TaskID] = {}  # the bars of the running jobs, by name

    def show_start(self, job: Job) -> None:
        """Shows that a job has started."""
        self._print(f"{job.name} started")
        self.bars[job.name] = self.add_task(job.name, total=None, loss="")

    def show_progress(self, job: Job, status: Status) -> None:
        """Shows the progress of a job."""
        done, steps = status.steps
        loss = "" if status.val_loss is None else f"val/loss {status.val_loss:.4f}"
        self.update(self.bars[job.name], completed=done, total=steps or None, loss=loss)

    def show_end(self, job: Job, status: Status) -> None:
        """Shows that a job has ended, either now or before the sweep was resumed."""
        if job.name in self.bars:
            self.remove_task(self.bars.pop(job.name))
        self.done += 1
        loss = "" if status.val_loss is None else f", val/loss {status.val_loss:.4f}"
        loss += ", implausible" if status.state == "completed" and why_implausible(status.summary) else ""
        trained = status.summary.get("train_seconds")  # as in the report; the wall clock includes the start
        seconds = f", {trained:.0f} s of training" if trained else ""
        reason = f": {status.reason.splitlines()[0]}" if status.reason else ""
        self._print(f"{self.done:>3}/{self.total} {job.name} {status.state}{loss}{seconds}{reason}")

    def _print(self, line: str) -> None:
        # If the reader of the output has ended (`tee` after Ctrl-C), rich would exit, but the sweep must continue.
        with contextlib.suppress(OSError, SystemExit):
            self.console.print(line, soft_wrap=True)


@dataclass
class Running:
    """A job and its process."""

    job: Job
    slot: int  #: determines the GPUs of the job
    process: subprocess.Popen[bytes]
    terminated: float | None = None  #: the time when this process sent the signal to stop


def check_integer(key: str, value: object, least: int = 1) -> None:
    """Raises `UserError` unless a value is an integer of at least `least`, because Hydra does not check types."""
    if type(value) is not int or value < least:
        raise UserError(f"{key}={value} must be an integer of at least {least}")


def visible_gpus() -> list[str]:
    """Returns the GPUs of this machine as they are named in CUDA_VISIBLE_DEVICES, without importing torch."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number in range(f"\n{listed}".count("\nGPU "))]


def gpus_of(slot: int, per_job: int, gpus: Sequence[str]) -> str:
    """Returns the value of CUDA_VISIBLE_DEVICES for a slot."""
    return ",".join(gpus[(slot * per_job + i) % len(gpus)] for i in range(per_job))


class Pool:
    """Runs the jobs of a plan, at most `n_jobs` at once (None: as many as the GPUs allow, or one without GPUs).

    The first signal is forwarded to the jobs, and the pool waits until they have saved their checkpoints. A second
    signal kills them. If this process is killed, its jobs end themselves; see `headscope.run.processes`. Each job gets
    the words in `context`; see `headscope.config.context`.
    """

    def __init__(self, folder: Path, n_jobs: int | None, gpus_per_job: int, context: Sequence[str] = ()) -> None:
        check_integer("hydra.launcher.gpus_per_job", gpus_per_job)
        if n_jobs is not None:
            check_integer("hydra.launcher.n_jobs", n_jobs)
        self.folder, self.context, self.gpus_per_job, self.gpus = folder, context, gpus_per_job, visible_gpus()
        self.n_jobs = n_jobs or max(len(self.gpus) // gpus_per_job, 1)
        if self.gpus and gpus_per_job > 1 and self.n_jobs * gpus_per_job > len(self.gpus):
            needed = f"{self.n_jobs} jobs of {gpus_per_job} GPUs each"
            raise UserError(f"{needed} need more than {len(self.gpus)} GPUs; lower n_jobs or gpus_per_job")
        self.running: dict[Future[int], Running] = {}  # by the future exit code, for which a thread waits
        self.threads = ThreadPoolExecutor(self.n_jobs)
        self.signals: list[int] = []

    def run(self, plan: Plan, display: JobDisplay) -> None:
        """Runs all jobs of the plan. After a signal, raises `Interrupted` when all jobs have ended."""
        before = {s: signal.signal(s, lambda signum, _: self.signals.append(signum)) for s in stop_signals()}
        try:
            while self._fill_slots(plan, display):
                wait(self.running, POLL, FIRST_COMPLETED)
                for exit_code, r in list(self.running.items()):
                    if exit_code.done():
                        del self.running[exit_code]
                        self._finish(r, exit_code.result(), plan, display)
                    else:
                        self._poll(r, plan, display)
        finally:
            for r in self.running.values():
                kill(r.process)
            for s, handler in before.items():
                signal.signal(s, handler)
        if self.signals:
            raise Interrupted(self.signals[0], f"resume the sweep with {argument('resume=', self.folder)}")

    def _fill_slots(self, plan: Plan, display: JobDisplay) -> bool:
        """Starts jobs in the free slots, and returns whether any job is running."""
        while len(self.running) < self.n_jobs and not self.signals and (job := plan.next()):
            slot = min(set(range(self.n_jobs)) - {r.slot for r in self.running.values()})
            process = self._start(job, slot)
            self.running[self.threads.submit(process.wait)] = Running(job, slot, process)
            display.show_start(job)
        return bool(self.running)

    def _poll(self, r: Running, plan: Plan, display: JobDisplay) -> None:
        """Shows the progress of a job, and stops it after a signal or if it is unpromising."""
        status = r.job.run(self.folder).status(running=True)
        display.show_progress(r.job, status)
        if not r.terminated and (self.signals or plan.should_prune(r.job, status)):
            r.process.terminate()
            r.terminated = time.monotonic()
        elif r.terminated and (time.monotonic() - r.terminated > PATIENCE or len(self.signals) > 1):
            kill(r.process)

    def _finish(self, r: Running, exit_code: int, plan: Plan, display: JobDisplay) -> None:
        """Reports a job that has ended to the plan and the display."""
        kill(r.process)  # other ranks of the same job may still be running
        run = r.job.run(self.folder)
        if exit_code < 0 and not r.terminated:
            append_to_log(run, f"error: the process was killed by {signal.Signals(-exit_code).name}")
        plan.record_end(r.job, run.status())
        display.show_end(r.job, run.status())

    def _start(self, job: Job, slot: int) -> subprocess.Popen[bytes]:
        """Starts a job, or resumes it with its new overrides if it was started before."""
        run = job.run(self.folder)
        arguments = [*job.overrides, f"hydra.run.dir={quote(str(run.path))}", "hydra.mode=RUN"]
        if run.started:
            before = set(run.overrides())
            arguments = [f"resume={run.path}", *(o for o in job.overrides if o not in before)]
        script = str(Path(sys.argv[0]).resolve())
        line = [sys.executable, script, *self.context, *arguments]  # the same script as in this process
        append_to_log(run, f"{STARTED}{time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(line[1:])}")
        environment = dict(os.environ)  # contains HEADSCOPE_PARENT, which names this process
        if self.n_jobs > 1:
            environment |= waiting.variables_for_shared_cores()
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus_of(slot, self.gpus_per_job, self.gpus)
        with run.job_log.open("ab") as log:
            return subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # so that Ctrl-C reaches only this process, which forwards it
            )
