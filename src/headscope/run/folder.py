"""A run's folder: the names of its files, the lock of its owner, and the progress of the run.

Imports no torch, because a sweep and its report read hundreds of folders.
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

from headscope.config.changes import as_typed, changes
from headscope.config.overrides import split
from headscope.errors import UserError
from headscope.files import read_json, write_atomically, write_json
from headscope.run.lock import Lock
from headscope.shell import argument

STARTED = "=== "  #: begins the first line that each process of a job writes to `job.log`

State = Literal["waiting", "running", "completed", "interrupted", "failed", "pruned"]


@dataclass(frozen=True)
class Status:
    """The progress of a run.

    Args:
        state: one of `State`.
        reason: why the run failed, in a few lines.
        steps: completed steps and planned steps; 0 if not known yet.
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
        """The last validation loss, in nats per token."""
        return self.history[-1]["val_loss"] if self.history else None


class RunFolder:
    """Names, reads and writes the files of a run.

    Args:
        path: of the folder, which may not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.summary_file = self.path / "summary.json"
        self.progress_file = self.path / "progress.json"  #: rewritten while the run trains
        self.config_file = self.path / ".hydra" / "config.yaml"
        self.overrides_file = self.path / ".hydra" / "overrides.yaml"
        self.checkpoints = self.path / "checkpoints"
        self.last, self.previous, self.best = (self.checkpoints / f"{n}.ckpt" for n in ("last", "previous", "best"))
        self.job_log = self.path / "job.log"  #: the output of a job of a sweep
        self.changes_file = self.path / "changes.json"
        self.heads_file = self.path / "heads.csv"  #: the scores of every head at each validation
        self.film_file = self.path / "film.gz"  #: attention maps and roles of every head at some validations
        self.pictures = self.path / "pictures"  #: TAG_STEP.png, from loggers that write files
        self.by_position_figure = self.path / "loss_by_position"  #: without its suffix, .png or .pdf
        self.pruned_file = self.path / "pruned.json"  #: the validation after which a search stopped the run

    def __str__(self) -> str:
        return str(self.path)

    @property
    def started(self) -> bool:
        """Whether a run has recorded its config here."""
        return self.overrides_file.exists()

    @property
    def occupied(self) -> bool:
        """Whether the folder contains results of a run, which must not be overwritten."""
        ended = self.summary_file.exists() and self.summary().get("steps") != 0
        return ended or any(self.checkpoints.glob("*.ckpt"))

    def claim(self, resume: str | None, train: bool, first: bool) -> bool:
        """Locks the folder for a run, and returns whether the run is resumed.

        Args:
            resume: see `is_resumed`.
            train: the run trains; a validation only reads the folder and takes no lock.
            first: this is the first process of the run, which takes the lock.

        Raises:
            UserError: the folder belongs to another run, or is the current folder.
        """
        resumed = is_resumed(self.path, self.overrides_file, resume)
        if not resumed and self.path.resolve() == Path.cwd():
            raise UserError("hydra.run.dir is the current folder; choose one of its own, such as outputs/NAME")
        if not resumed and train and self.occupied:
            again = argument("resume=", self)
            raise UserError(f"{self} holds a run already; resume it with {again}, or choose another folder")
        if train and first:
            self.lock.acquire()
        return resumed

    def compare(self, config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Returns the old and the new value of each key that changes if the run is resumed with this config.

        Raises:
            UserError: see `config.changes.changes`; no run was started here.
        """
        known, before = set(self.overrides()), self.config()
        typed = [split(o)[0] for o in overrides if o not in known]
        return changes(before, as_typed(config), typed)

    def record(
        self,
        config: Mapping[str, Any],
        overrides: Sequence[str],
        step: int = 0,
        changed: Mapping[str, tuple[str, str]] = {},
    ) -> None:
        """Saves the resolved config and the overrides that it was composed from.

        Args:
            config: plain data.
            overrides: as typed.
            step: that the run starts at.
            changed: see `compare`; a resume that is killed and repeated records them once.
        """
        summary, known = self.summary(), self.changes()
        if summary:  # an extended run counts as interrupted until it completes again
            write_json(self.summary_file, summary | {"status": "interrupted"})
        new = [{"step": step, "key": k, "before": b, "after": a} for k, (b, a) in changed.items()]
        if new := [change for change in new if change not in known]:
            write_json(self.changes_file, {"changes": [*known, *new]})
        for file, content in ((self.config_file, dict(config)), (self.overrides_file, list(overrides))):
            write_atomically(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())

    def overrides(self) -> list[str]:
        """Returns the recorded overrides.

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
        """Returns the resolved config as text by dotted key; empty if the record is missing or damaged."""
        try:
            return as_typed(yaml.safe_load(self.config_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError, yaml.YAMLError):
            return {}

    def summary(self) -> dict[str, Any]:
        """Returns `summary.json`; empty if the run has not ended."""
        return read_json(self.summary_file)

    def changes(self) -> list[dict[str, Any]]:
        """Returns the changes made by resumes, each with its step, key, before and after."""
        found = read_json(self.changes_file).get("changes")
        return found if isinstance(found, list) else []

    def status(self, running: bool = False) -> Status:
        """Returns the progress of the run, from its files alone.

        Args:
            running: its process is alive, so its log is still being written.
        """
        summary, progress = self.summary(), read_json(self.progress_file)
        # The longer history: an interrupted run writes a summary, and may be resumed afterwards.
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
        """Returns why the last process of a job failed: its error message, or the last line of its traceback."""
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
        """The lock of this folder."""
        return Lock(self.path)


def is_resumed(folder: Path, marker: Path, resume: str | None) -> bool:
    """Whether a run or a sweep continues in its folder.

    Args:
        folder: of the run or of the sweep.
        marker: a file that exists once it has started.
        resume: from `resume=DIR`: this folder, or the sweep's folder around it. None if SLURM requeued the job.
    """
    here, named = folder.resolve(), Path(resume).resolve() if resume is not None else None
    requeued = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    return named == here or ((requeued or named == here.parent) and marker.exists())


@contextmanager
def removed_if_refused(run: RunFolder, started: float) -> Iterator[None]:
    """Deletes all files of a run that is refused before its first step, and its folder if this process created it.

    Hydra may have created the folder already, so a folder counts as new if it is empty and younger than `started`, the
    value of `time.monotonic()` when the process began.
    """
    before = set(run.path.iterdir()) if run.path.is_dir() else set()
    age = time.time() - run.path.stat().st_mtime if run.path.is_dir() else 0.0
    new = not before and age <= time.monotonic() - started
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
