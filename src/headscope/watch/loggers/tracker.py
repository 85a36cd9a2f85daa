"""The base of loggers that send data to an experiment tracker: resumes the tracker's run, and sends nothing twice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from headscope.files import write_atomically
from headscope.run.folder import RunFolder
from headscope.run.recorder import Recorder


class Tracker(Recorder):
    """A mixin for a Lightning `Logger` that sends to a service where sent rows cannot be deleted.

    Collects everything that is logged at one step into a row. Sends the row when another step is logged, and before a
    checkpoint is saved. A file in the run's folder has the id that the service gave the run, and the steps that were
    sent. A resumed run continues under this id and does not send these steps again. A killed process cannot damage the
    file, because lines are only appended. A run in a copied folder gets a new id.
    """

    def __init__(self, file: Path, **options: Any) -> None:
        super().__init__(**options)
        self._file = file
        self._known_id: str | None = None  # the id in the file
        self._sent = -1  # the last step that earlier processes sent
        self._step = -1
        self._row: dict[str, Any] = {}  # entries logged at _step

    def send(self, row: dict[str, Any], step: int) -> None:
        """Sends the row of a step to the service."""
        raise NotImplementedError

    def continue_as(self, run_id: str) -> None:
        """Makes the logger continue the service's run with this id instead of creating a new run."""
        raise NotImplementedError

    def add(self, entries: Mapping[str, Any], step: int) -> None:
        """Adds entries to the row of a step. If the step differs from the current row's step, sends that row first."""
        if step != self._step:
            self.save()
            self._step = step
        self._row |= entries

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.add(metrics, step or 0)

    @rank_zero_only
    def save(self) -> None:
        """Sends the current row, unless an earlier process sent its step."""
        if self._row and self._step > self._sent:
            self.send(self._row, self._step)
            with self._file.open("a", encoding="utf-8") as f:
                f.write(f"{self._step}\n")
        self._row = {}

    def keep_id(self, run_id: str) -> None:
        """Writes the id of a new run to the file; does nothing if the file already has this id."""
        if run_id != self._known_id:
            write_atomically(self._file, f"{run_id}\n".encode())
            self._known_id = run_id

    def resume_at(self, step: int) -> None:
        if not self._file.exists():
            return
        run_id, *steps = self._file.read_text(encoding="utf-8").split()
        original = RunFolder(self._file.parent).original
        theirs = original.path / self._file.name if original else None
        if theirs and theirs.exists() and theirs.read_text(encoding="utf-8").split()[:1] == [run_id]:
            self._file.unlink()  # this folder is a copy
            return
        self._known_id, self._sent = run_id, max(map(int, steps), default=-1)
        self.continue_as(run_id)
