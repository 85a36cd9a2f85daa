"""Shows the progress of a sweep: one line per event, and on a terminal one bar per running job."""

import contextlib

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

from headscope.run.folder import Status
from headscope.sweep.jobs import Job


class JobDisplay(Progress):
    """Job, steps, val/loss and time left; as bars on a terminal, unless the jobs print their own lines to it."""

    def __init__(self, total: int, live: bool = True) -> None:
        columns = "{task.description}", BarColumn(), MofNCompleteColumn(), "{task.fields[loss]}", TimeRemainingColumn()
        console = Console()
        hidden = not (live and console.is_terminal)
        super().__init__(*columns, console=console, transient=True, disable=hidden, speed_estimate_period=600)
        self.total, self.done = total, 0
        self.bars: dict[str, TaskID] = {}  # of the running jobs

    def started(self, job: Job) -> None:
        """Shows that a job has started."""
        self._print(f"{job.name} started")
        self.bars[job.name] = self.add_task(job.name, total=None, loss="")

    def running(self, job: Job, now: Status) -> None:
        """Shows the progress of a job."""
        done, steps = now.steps
        loss = "" if now.val_loss is None else f"val/loss {now.val_loss:.4f}"
        self.update(self.bars[job.name], completed=done, total=steps or None, loss=loss)

    def ended(self, job: Job, now: Status) -> None:
        """Shows that a job has ended, now or before the sweep was resumed."""
        if job.name in self.bars:
            self.remove_task(self.bars.pop(job.name))
        self.done += 1
        loss = "" if now.val_loss is None else f", val/loss {now.val_loss:.4f}"
        seconds = f", {now.summary['wall_seconds']:.0f} s" if now.summary.get("wall_seconds") else ""
        reason = f": {now.reason.splitlines()[0]}" if now.reason else ""
        self._print(f"{self.done:>3}/{self.total} {job.name} {now.state}{loss}{seconds}{reason}")

    def _print(self, line: str) -> None:
        # If the reader has ended (`tee` after Ctrl-C), rich would exit; the sweep must continue.
        with contextlib.suppress(OSError, SystemExit):
            self.console.print(line, soft_wrap=True, markup=False, highlight=False)
