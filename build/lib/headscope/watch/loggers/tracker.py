"""What loggers to experiment trackers share: a lasting identity, and nothing sent twice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from headscope.files import write_atomically
from headscope.run.recorder import Recorder


class Tracker(Recorder):
    """Mixed into a Lightning `Logger` that sends to a place which many runs share and which cannot delete.

    Everything logged at one step is sent as one row, once the next step logs something or a checkpoint is about to be
    saved. A small file in the run's folder holds the tracker's id of the run and the steps sent so far. A resumed run
    reads it, continues under the same id, and does not send those steps again; what a killed process sent after the
    last checkpoint therefore stays. Lines are only ever appended, so a kill leaves the file whole.

    Args:
        file: where the id is kept.
        options: of the logger.
    """

    def __init__(self, file: Path, **options: Any) -> None:
        super().__init__(**options)
        self._file = file
        self._known_id: str | None = None  # of an earlier process
        self._sent = -1  # the last step sent by earlier processes
        self._step = -1
        self._row: dict[str, Any] = {}

    def send(self, row: dict[str, Any], step: int) -> None:
        """Sends what was logged at a step."""
        raise NotImplementedError

    def continue_as(self, run_id: str) -> None:
        """Makes the logger continue a run of the tracker instead of creating one."""
        raise NotImplementedError

    def add(self, entries: Mapping[str, Any], step: int) -> None:
        """Adds to the row of a step; the rows of earlier steps are sent."""
        if step != self._step:
            self.save()
            self._step = step
        self._row |= entries

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.add(metrics, step or 0)

    @rank_zero_only
    def save(self) -> None:
        """Sends the row that is not sent yet."""
        if self._row and self._step > self._sent:
            self.send(self._row, self._step)
            with self._file.open("a", encoding="utf-8") as f:
                f.write(f"{self._step}\n")
        self._row = {}

    def keep_id(self, run_id: str) -> None:
        """Remembers the id of a run that the tracker has just created."""
        if run_id != self._known_id:
            write_atomically(self._file, f"{run_id}\n".encode())
            self._known_id = run_id

    def resume_at(self, step: int) -> None:
        if self._file.exists():
            self._known_id, *steps = self._file.read_text(encoding="utf-8").split()
            self._sent = max(map(int, steps), default=-1)
            self.continue_as(self._known_id)
