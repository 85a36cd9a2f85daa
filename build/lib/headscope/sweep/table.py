"""The progress of a sweep: a table that is redrawn on a terminal, elsewhere one line per event."""

import contextlib
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Column, Table

from headscope.run.folder import Status
from headscope.sweep.jobs import Job, shortened

MARKS = {"completed": "green", "failed": "red", "running": "cyan", "pruned": "yellow", "interrupted": "yellow"}


class JobTable:
    """Job, overrides, state, step, val/loss, time left.

    Args:
        total: number of jobs.
        varied: the keys that differ between jobs; each gets a column.
        console: where to print.
    """

    def __init__(self, total: int, varied: list[str], console: Console | None = None) -> None:
        self.total, self.varied = total, varied
        self.console = console or Console()
        self.rows: dict[str, tuple[Job, Status]] = {}
        self.began: dict[str, tuple[float, int]] = {}  # when, and at what step, each job was first seen
        self.start = time.monotonic()
        self.done = 0
        self.live = Live(console=self.console, auto_refresh=False, transient=True)

    def __enter__(self) -> "JobTable":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.live.stop()
        if self.console.is_terminal:
            self.console.print(self._grid())

    def started(self, job: Job) -> None:
        """A job's process was started."""
        self._say(f"{job.name} started")
        self.running(job, Status("running", "", (0, 0), [], {}))

    def running(self, job: Job, now: Status) -> None:
        """Shows how far a job is."""
        self.rows[job.name] = job, now
        if now.steps[0] and job.name not in self.began:
            self.began[job.name] = time.monotonic(), now.steps[0]
        self._draw()

    def ended(self, job: Job, now: Status) -> None:
        """A job has ended, now or before this sweep was resumed."""
        self.rows[job.name] = job, now
        self.done += 1
        loss = "" if now.val_loss is None else f", val/loss {now.val_loss:.4f}"
        seconds = f", {now.summary['wall_seconds']:.0f} s" if now.summary.get("wall_seconds") else ""
        reason = f": {now.reason.splitlines()[0]}" if now.reason else ""
        self._say(f"{self.done:>3}/{self.total} {job.name} {now.state}{loss}{seconds}{reason}")
        self._draw()

    def _say(self, line: str) -> None:
        if not self.console.is_terminal:
            # A reader that has left (`tee` after Ctrl-C) must not stop the sweep; rich would exit.
            with contextlib.suppress(OSError, SystemExit):
                self.console.print(line, soft_wrap=True, markup=False, highlight=False)

    def _draw(self) -> None:
        if self.console.is_terminal:
            self.live.update(self._grid(max(self.console.height - 6, 4)), refresh=True)

    def _grid(self, most: int | None = None) -> Table:
        varied = [key.rpartition(".")[2] for key in self.varied]
        grid = Table(Column("job", no_wrap=True), *varied, "state", "step", "val/loss", "left")
        for job, now in list(self.rows.values())[-most if most else None :]:
            done, steps = now.steps
            loss = f"{now.val_loss:.4f}" if now.val_loss is not None else ""
            color = MARKS.get(now.state, "default")
            cells = [escape(shortened(job.values.get(key, ""))) for key in self.varied]
            step = f"{done}/{steps}" if steps else ""
            grid.add_row(job.name, *cells, f"[{color}]{now.state}[/]", step, loss, self._left(job, now))
        minutes = (time.monotonic() - self.start) / 60
        grid.caption = f"{self.done} of {self.total} jobs ended, {minutes:.1f} min"
        return grid

    def _left(self, job: Job, now: Status) -> str:
        done, steps = now.steps
        when, first = self.began.get(job.name, (0.0, done))
        if now.state != "running" or done <= first:
            return ""
        return f"{(time.monotonic() - when) / (done - first) * (steps - done):.0f} s"
