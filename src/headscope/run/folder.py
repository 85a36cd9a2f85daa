"""A run's folder: every file in it by name, who owns it, and how the run is doing.

Imports no torch: a sweep and its report read hundreds of these.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from headscope.config.leaves import as_typed
from headscope.errors import UserError
from headscope.files import read_json, write_atomically, write_json
from headscope.run.lock import Lock

RESUMING = "HEADSCOPE_RESUMING"  #: environment variable: the folder to resume, for this process and its ranks
STARTED = "=== "  #: begins the line of `job.log` that each process of a job writes first

State = Literal["waiting", "running", "completed", "interrupted", "failed", "pruned"]


@dataclass(frozen=True)
class Status:
    """How a run is doing.

    Args:
        state: in one word.
        reason: why it failed, in a few lines.
        steps: steps done and steps planned; 0 where not known yet.
        history: step, seconds and val_loss of each validation.
        summary: `summary.json`; empty until the run ends.
    """

    state: State
    reason: str
    steps: tuple[int, int]
    history: list[dict[str, float]]
    summary: dict[str, Any]

    @property
    def val_loss(self) -> float | None:
        """At the last validation, in nats per token."""
        return self.history[-1]["val_loss"] if self.history else None


class RunFolder:
    """Names, reads and writes the files of a run.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.summary_file = self.path / "summary.json"
        self.progress_file = self.path / "progress.json"  #: how far it is, while it goes on
        self.config_file = self.path / ".hydra" / "config.yaml"
        self.overrides_file = self.path / ".hydra" / "overrides.yaml"
        self.checkpoints = self.path / "checkpoints"
        self.last, self.previous, self.best = (self.checkpoints / f"{n}.ckpt" for n in ("last", "previous", "best"))
        self.job_log = self.path / "job.log"  #: output of a sweep's job
        self.changes_file = self.path / "changes.json"
        self.heads_file = self.path / "heads.csv"  #: what every head did at each validation
        self.film_file = self.path / "film.gz"  #: maps and roles of every head at some of them
        self.pictures = self.path / "pictures"  #: what loggers that keep files were given: TAG_STEP.png
        self.by_position_figure = self.path / "loss_by_position"  #: with .png and .pdf
        self.pruned_file = self.path / "pruned.json"  #: the validation after which a search stopped the run

    def __str__(self) -> str:
        return str(self.path)

    @property
    def started(self) -> bool:
        """Whether a run has recorded its config here."""
        return self.overrides_file.exists()

    @property
    def occupied(self) -> bool:
        """Whether a run has left results here that must not be overwritten."""
        ended = self.summary_file.exists() and self.summary().get("steps") != 0
        return ended or any(self.checkpoints.glob("*.ckpt"))

    @property
    def resuming(self) -> bool:
        """Whether this process was asked to resume what lies here."""
        return resuming(self.path, self.overrides_file)

    def record(self, config: dict[str, Any], overrides: Sequence[str]) -> None:
        """Saves the resolved config and the overrides that gave it."""
        for file, content in ((self.config_file, config), (self.overrides_file, list(overrides))):
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            write_atomically(file, text.encode())

    def overrides(self) -> list[str]:
        """The overrides that were recorded.

        Raises:
            UserError: no run was started here.
        """
        try:
            saved = yaml.safe_load(self.overrides_file.read_text(encoding="utf-8"))
            assert isinstance(saved, list)
        except Exception as e:
            raise UserError(f"no run was started in {self}; give a run's folder, the one with checkpoints in it") from e
        return [str(o) for o in saved]

    def config(self) -> dict[str, str]:
        """The resolved config as text by dotted key; empty if none was recorded, or it is damaged."""
        try:
            return as_typed(yaml.safe_load(self.config_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError, yaml.YAMLError):
            return {}

    def summary(self) -> dict[str, Any]:
        """`summary.json`; empty if the run has not ended."""
        return read_json(self.summary_file)

    def changes(self) -> list[dict[str, Any]]:
        """What was changed when the run was resumed: step, key, before and after of each."""
        found = read_json(self.changes_file).get("changes")
        return found if isinstance(found, list) else []

    def record_changes(self, step: int, changed: Mapping[str, tuple[str, str]]) -> None:
        """Adds changed keys with the step from which they hold; once, if a resume is killed and repeated."""
        known = self.changes()
        new = [{"step": step, "key": k, "before": b, "after": a} for k, (b, a) in changed.items()]
        if new := [change for change in new if change not in known]:
            write_json(self.changes_file, {"changes": [*known, *new]})

    def status(self, running: bool = False) -> Status:
        """How the run is doing, from its files alone.

        Args:
            running: its process is alive, so its log is still being written.
        """
        summary, progress = self.summary(), read_json(self.progress_file)
        # The longer: a summary may be that of an interruption, before the run went on.
        history = max(summary.get("history") or [], progress.get("history") or [], key=len)
        steps = int(progress.get("step", summary.get("steps", 0))), int(progress.get("max_steps", 0))
        reason = "" if running else self.failure()
        state: State = "waiting"
        if self.pruned_file.exists():
            state = "pruned"
        elif running:
            state = "running"
        elif summary.get("status") == "completed":
            state = "completed"
        elif reason or summary.get("status") == "failed":
            state = "failed"
        elif summary or progress or self.started:
            state = "interrupted"
        return Status(state, reason if state == "failed" else "", steps, history, summary)

    def failure(self) -> str:
        """Why the last process of a job failed: its error message, or the end of its traceback."""
        try:
            text = self.job_log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        last = text.rpartition(f"\n{STARTED}")[2].rstrip()
        if "\nerror: " in last:
            return last.rpartition("\nerror: ")[2]
        if "\nTraceback (most recent call last)" in last:
            return last.splitlines()[-1]
        return ""

    @cached_property
    def lock(self) -> Lock:
        """The right to write here; see `Lock`."""
        return Lock(self.path)


def resuming(folder: Path, marker: Path) -> bool:
    """Whether this process resumes a run or a sweep: it or its sweep was asked to, or SLURM requeued the job.

    The marker is the file that shows that one was started.
    """
    asked, here = os.environ.get(RESUMING), folder.resolve()
    requeued = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    return asked == str(here) or ((requeued or asked == str(here.parent)) and marker.exists())


@contextmanager
def nothing_left(run: RunFolder, since: float) -> Iterator[None]:
    """Takes back what a run wrote that is refused before its first step; and its folder, if Hydra created it.

    That was not there yet when `time.monotonic()` was `since`.
    """
    before = set(run.path.iterdir()) if run.path.is_dir() else set()
    age = time.time() - run.path.stat().st_mtime if run.path.is_dir() else 0.0
    new = not before and age <= time.monotonic() - since
    try:
        yield
    except UserError:
        if run.lock.held and not run.occupied:
            for path in set(run.path.iterdir()) - before:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
            run.lock.release()
        if new:
            with suppress(OSError):
                run.path.rmdir()
        raise
