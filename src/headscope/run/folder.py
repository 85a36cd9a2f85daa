"""A run's folder: the names of its files, the lock of its owner, and the progress of the run.

Imports no torch, because a sweep and its report read hundreds of folders.
"""

import json
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
from headscope.files import read_json, write_atomically
from headscope.run.lock import Lock
from headscope.shell import argument

STARTED = "=== "  #: begins the first line that each process of a job writes to `job.log`

State = Literal["waiting", "running", "completed", "interrupted", "failed", "pruned"]


@dataclass(frozen=True)
class Status:
    """The progress of a run."""

    state: State
    reason: str  #: why the run failed, in a few lines
    steps: tuple[int, int]  #: completed and planned; 0 if not known yet
    history: list[dict[str, float]]  #: step, seconds and val_loss of each validation
    summary: dict[str, Any]  #: `summary.json`; empty until the run ends

    @property
    def val_loss(self) -> float | None:
        """The last validation loss, in nats per token."""
        return self.history[-1]["val_loss"] if self.history else None


class RunFolder:
    """Names, reads and writes the files of a run, in a folder that may not exist yet."""

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

        A validation (`train` is false) only reads the folder and takes no lock; of several processes, the `first`
        takes it. Raises `UserError` if the folder belongs to another run, or is the current folder.
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
        """Returns the old and the new value of each key that a resume with this config changes, as `changes` does."""
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
        """Saves the resolved config, its overrides, and the keys that `changed` at this step; see `compare`."""
        known, summary = self.changes(), read_json(self.summary_file)
        new = [{"step": step, "key": k, "before": b, "after": a} for k, (b, a) in changed.items()]
        contents: dict[Path, Any] = {}
        if summary:  # an extended run counts as interrupted until it completes again
            contents[self.summary_file] = summary | {"status": "interrupted"}
        if new := [change for change in new if change not in known]:  # a killed and repeated resume records them once
            contents[self.changes_file] = {"changes": [*known, *new]}
        contents |= {self.config_file: dict(config), self.overrides_file: list(overrides)}
        for file, content in contents.items():
            as_json = file.suffix == ".json"
            text = (
                json.dumps(content, indent=2)
                if as_json
                else yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            )
            write_atomically(file, text.encode())

    def overrides(self) -> list[str]:
        """Returns the recorded overrides; raises `UserError` if no run was started here."""
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
        """Returns the progress of the run, from its files alone; `running` if its process is alive."""
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
    """Whether a run or a sweep, which has a file `marker` once it has started, continues in its folder.

    `resume=DIR` names this folder, or the sweep's folder around it; it is None if SLURM requeued the job.
    """
    here, named = folder.resolve(), Path(resume).resolve() if resume is not None else None
    requeued = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    return named == here or ((requeued or named == here.parent) and marker.exists())


@contextmanager
def cleaned_up(run: RunFolder, started: float) -> Iterator[None]:
    """Unlocks the folder of a run at its end; a run that is refused before its first step leaves no files.

    The folder itself is also deleted if this process created it. Hydra may have done so already, so a folder counts as
    new if it is empty and younger than `started`, the value of `time.monotonic()` when the process began.
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
    finally:
        run.lock.release()
