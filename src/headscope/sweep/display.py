"""The progress of a sweep: one line per event, and on a terminal a bar for each running job below them."""

import contextlib
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

from headscope.run.folder import Status
from headscope.sweep.jobs import Job


class JobDisplay:
    """Job, steps, val/loss, time left.

    Args:
        total: number of jobs.
        live: draw bars if there is a terminal; not between the lines of jobs that run in this process.
        console: where to print.
    """

    def __init__(self, total: int, live: bool = True, console: Console | None = None) -> None:
        self.total, self.done = total, 0
        self.console = console or Console()
        columns = (
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            "{task.fields[loss]}",
            TimeRemainingColumn(),
        )
        hidden = not (live and self.console.is_terminal)
        self.bars = Progress(*columns, console=self.console, transient=True, disable=hidden, speed_estimate_period=600)
        self.running_jobs: dict[str, TaskID] = {}

    def __enter__(self) -> "JobDisplay":
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.bars.stop()

    def started(self, job: Job) -> None:
        """A job's process was started."""
        self._say(f"{job.name} started")
        self.running_jobs[job.name] = self.bars.add_task(job.name, total=None, loss="")

    def running(self, job: Job, now: Status) -> None:
        """Shows how far a job is."""
        done, steps = now.steps
        loss = "" if now.val_loss is None else f"val/loss {now.val_loss:.4f}"
        self.bars.update(self.running_jobs[job.name], completed=done, total=steps or None, loss=loss)

    def ended(self, job: Job, now: Status) -> None:
        """A job has ended, now or before this sweep was resumed."""
        if job.name in self.running_jobs:
            self.bars.remove_task(self.running_jobs.pop(job.name))
        self.done += 1
        loss = "" if now.val_loss is None else f", val/loss {now.val_loss:.4f}"
        seconds = f", {now.summary['wall_seconds']:.0f} s" if now.summary.get("wall_seconds") else ""
        reason = f": {now.reason.splitlines()[0]}" if now.reason else ""
        self._say(f"{self.done:>3}/{self.total} {job.name} {now.state}{loss}{seconds}{reason}")

    def _say(self, line: str) -> None:
        # A reader that has left (`tee` after Ctrl-C) must not stop the sweep; rich would exit.
        with contextlib.suppress(OSError, SystemExit):
            self.console.print(line, soft_wrap=True, markup=False, highlight=False)
