"""Plain files: a table of scalars, and pictures and texts beside it."""

import csv
import io
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from headscope.files import write_atomically
from headscope.run.folder import RunFolder
from headscope.run.recorder import Recorder
from headscope.watch.loggers.pictures import drop_pictures, keep_picture


class Csv(Recorder, Logger):
    """Writes `metrics.csv` (one row per logged step), `pictures/TAG_STEP.png` and `texts/TAG_STEP.txt`.

    The table is written whole, as a new file that replaces the old one, at every validation and when the run ends: a
    kill at any time leaves a complete table, and a new metric just adds a column. Lightning's `CSVLogger` is not used:
    it deletes the table of the run that it resumes, and rewrites files in place.

    Final metrics are in `summary.json`, the config in `.hydra/config.yaml`.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.table = self.folder / "metrics.csv"
        self._rows: dict[int, dict[str, float | str]] = {}  # by step

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing: `.hydra/config.yaml` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._rows.setdefault(step or 0, {}).update({name: float(value) for name, value in metrics.items()})

    @rank_zero_only
    def save(self) -> None:
        """Replaces the table on disk. Columns are in the order in which their metrics first appeared.

        Raises:
            RunFailed: the disk is full; the old table is still there.
        """
        if not self._rows:
            return
        columns = dict.fromkeys(name for row in self._rows.values() for name in row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["step", *columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"step": step} | row for step, row in self._rows.items())
        write_atomically(self.table, text.getvalue().encode())

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        keep_picture(RunFolder(self.folder), tag, rgb, step)

    def record_text(self, tag: str, text: str, step: int) -> None:
        write_atomically(self.folder / "texts" / f"{tag}_{step:06}.txt", text.encode())

    def resume_at(self, step: int) -> None:
        self._rows = {s: row for s, row in read_rows(self.table).items() if s <= step}
        drop_pictures(RunFolder(self.folder), step)
        for path in self.folder.glob("texts/**/*.txt"):
            number = path.stem.rpartition("_")[2]
            if number.isdigit() and int(number) > step:
                path.unlink()


def read_rows(table: Path) -> dict[int, dict[str, float | str]]:
    """The rows of a table by step, values as written; empty if there is no table.

    Rows of one step are merged, and a line that was cut off is dropped: Lightning's `CSVLogger`, used by earlier
    versions, writes several rows per step.
    """
    rows: dict[int, dict[str, float | str]] = {}
    text = table.read_bytes().decode() if table.exists() else ""
    for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")):
        step = int(row.pop("step"))
        rows.setdefault(step, {}).update({name: value for name, value in row.items() if value})
    return rows
