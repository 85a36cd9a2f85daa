"""A run's folder: its files, config and progress. Imports no torch, because a sweep's main process uses it."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from headscope.config.overrides import Changes, as_typed, changes, split
from headscope.errors import FULL, UserError, not_written
from headscope.files import read_json, remove_incomplete, write_atomically
from headscope.run import lock
from headscope.shell import argument
from headscope.training.restarts import LAUNCHER_FILE, launcher
from headscope.training.restarts import is_resumed as is_resumed  # for sweeps, which import no training

if TYPE_CHECKING:
    from headscope.config.composed import Composed

STARTED = "=== "  #: begins the line that a sweep writes to `job.log` before it starts a process of the job

State = Literal["waiting", "running", "completed", "interrupted", "failed", "pruned"]


@dataclass(frozen=True)
class Status:
    """The progress of a run."""

    state: State
    reason: str  #: why the run failed, in a few lines
    steps: tuple[int, int]  #: numbers of completed and of planned steps; 0 if not yet known
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
        self.descriptions_file = self.path / "descriptions.json"  #: the rule and sentence of every head at the end
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

    def claim(self, composed: "Composed", is_resumed: bool, first: bool) -> Changes:
        """Locks the folder for a run, and returns the changes that a resumed run makes to its config.

        A validation only reads the folder, without a lock. Among several processes, only the `first` locks it. Raises
        `UserError` if the folder is the current one or belongs to another run, or if a change cannot take effect.
        """
        config, trains = composed.config, composed.config["task"] == "fit"
        changed: Changes = {}
        if is_resumed:
            typed = {split(o)[0] for o in set(self.overrides()).symmetric_difference(composed.overrides)}
            before = self.config()
            changed = changes(before, as_typed(config), typed)
        elif self.path.resolve() == Path.cwd():
            raise UserError("hydra.run.dir is the current folder; choose a separate one, such as outputs/NAME")
        elif trains and self.occupied:
            again = argument("resume=", self)
            raise UserError(f"{self} already contains a run; resume it with {again}, or choose another folder")
        if trains and first:
            lock.acquire(self.path)
        return changed

    def record(
        self, config: Mapping[str, Any], overrides: Sequence[str], step: int = 0, changed: Changes | None = None
    ) -> None:
        """Saves the resolved config, its overrides, and the changes from `claim` with their step."""
        known, summary = self.changes(), read_json(self.summary_file)
        if self.started:  # the earlier process may have been killed
            remove_incomplete(self.path)
        new = [{"step": step, "key": k, "before": b, "after": a} for k, (b, a) in (changed or {}).items()]
        texts: dict[Path, str] = {}
        if summary:  # a completed run that trains further counts as interrupted until it completes again
            texts[self.summary_file] = json.dumps(summary | {"status": "interrupted"}, indent=2)
        if new := [change for change in new if change not in known]:  # a repeated resume records each change once
            texts[self.changes_file] = json.dumps({"changes": [*known, *new]}, indent=2)
        for file, content in ((self.config_file, dict(config)), (self.overrides_file, list(overrides))):
            texts[file] = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        if found := launcher():
            texts[self.path / LAUNCHER_FILE] = json.dumps(found)
        for file, text in texts.items():
            write_atomically(file, text.encode())

    def overrides(self) -> list[str]:
        """Returns the recorded overrides; raises `UserError` if no run was started here."""
        try:
            saved = yaml.safe_load(self.overrides_file.read_text(encoding="utf-8"))
            assert isinstance(saved, list)
            assert all(isinstance(o, str) for o in saved)
        except Exception as e:
            raise UserError(f"no run was started in {self}; use the folder of a run, which has checkpoints/") from e
        return saved

    def config(self) -> dict[str, str]:
        """Returns the resolved values, as text, by dotted key; empty if the file is missing or damaged."""
        try:
            return as_typed(yaml.safe_load(self.config_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError, yaml.YAMLError):
            return {}

    @property
    def original(self) -> "RunFolder | None":
        """The run that this folder was copied from; None if it was moved, or has been resumed since."""
        recorded = RunFolder(self.config().get("paths.run_dir") or self.path)
        return recorded if recorded.started and not recorded.path.samefile(self.path) else None

    def summary(self) -> dict[str, Any]:
        """Returns `summary.json`; empty if the run has not ended."""
        return read_json(self.summary_file)

    def changes(self) -> list[dict[str, Any]]:
        """Returns the changes made by resumes, each with the keys step, key, before and after."""
        found = read_json(self.changes_file).get("changes")
        return found if isinstance(found, list) else []

    def status(self, running: bool = False) -> Status:
        """Returns the progress of the run, read from its files. `running`: whether its process is alive."""
        summary, progress = self.summary(), read_json(self.progress_file)
        # An interrupted run writes a summary; if it is then resumed, progress.json has the longer history.
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
        """Returns the error message of the last process of a job, or the last line of its traceback; empty if none."""
        text = self.job_log.read_text(encoding="utf-8", errors="replace") if self.job_log.exists() else ""
        last = text.rpartition(f"\n{STARTED}")[2].rstrip()
        if "\nerror: " in last:
            return last.rpartition("\nerror: ")[2]
        if "\nTraceback (most recent call last)" in last:
            return last.splitlines()[-1]
        return ""


@contextmanager
def cleaned_up(run: RunFolder, started: float) -> Iterator[None]:
    """Unlocks a run's folder at the end, and deletes the new files of a run that is refused before its first step.

    The folder is deleted too if it was empty and was created, by this process or by Hydra, after `started`, the
    `time.monotonic()` of the process's start. An error for a full disk that names no file names the folder.
    """
    before = set(run.path.iterdir()) if run.path.is_dir() else set()
    age = time.time() - run.path.stat().st_mtime if run.path.is_dir() else 0.0
    is_new = not before and age <= time.monotonic() - started
    try:
        yield
    except UserError:
        if lock.is_held(run.path) and not run.occupied:
            for path in set(run.path.iterdir()) - before:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
        if is_new:
            with suppress(OSError):
                run.path.rmdir()
        raise
    except OSError as e:
        if e.errno not in FULL or e.filename:
            raise
        raise not_written(e, f"a file in {run}") from e
    finally:
        lock.release(run.path)
