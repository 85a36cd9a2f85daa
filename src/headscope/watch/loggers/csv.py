"""The CSV logger: writes scalars to a table, and pictures and texts to separate files, in the run's folder."""

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
from PIL import Image

from headscope.files import write_atomically
from headscope.run.folder import RunFolder
from headscope.run.recorder import Recorder

Rows = dict[int, dict[str, float | str]]  #: metrics by name, for each step


class Csv(Recorder, Logger):
    """Writes `metrics.csv` (one row per logged step), `pictures/TAG_STEP.png` and `texts/TAG_STEP.txt`.

    At every validation and when the run ends, a new file replaces the table. So a process that is killed leaves a
    complete table, and a new metric can add a column. Lightning's `CSVLogger` is not used, because it deletes the table
    when a run is resumed, and rewrites files in place. `summary.json` has the final metrics.
    """

    name = "csv"
    version = ""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.table = Path(folder) / "metrics.csv"
        self._pictures, self._texts = RunFolder(folder).pictures, Path(folder) / "texts"
        self._rows: Rows = {}

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing, because `.hydra/config.yaml` contains the config."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._rows.setdefault(step or 0, {}).update({name: float(value) for name, value in metrics.items()})

    @rank_zero_only
    def save(self) -> None:
        """Replaces the table on disk. Columns are in the order in which their metrics first appeared.

        If the disk is full, raises RunFailed and keeps the old table.
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
        write_picture(self._pictures, tag, rgb, step)

    def record_text(self, tag: str, text: str, step: int) -> None:
        write_atomically(step_file(self._texts, tag, step, ".txt"), text.encode())

    def resume_at(self, step: int) -> None:
        self._rows = {s: row for s, row in read_rows(self.table).items() if s <= step}
        remove_after(self._pictures, step, ".png")
        remove_after(self._texts, step, ".txt")


def read_rows(table: Path) -> Rows:
    """Returns the rows of a table by step, with values as text; empty if the table does not exist.

    Merges several rows of one step and drops an incomplete last line; earlier versions could write both.
    """
    rows: Rows = {}
    text = table.read_bytes().decode() if table.exists() else ""
    for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")):
        step = int(row.pop("step"))
        rows.setdefault(step, {}).update({name: value for name, value in row.items() if value})
    return rows


def step_file(folder: Path, tag: str, step: int, suffix: str) -> Path:
    """Returns the path of a tag's file at a step. The step is padded with zeros, so that names sort by step."""
    return folder / f"{tag}_{step:06}{suffix}"


def write_picture(folder: Path, tag: str, rgb: NDArray[np.uint8], step: int) -> bytes:
    """Writes a picture (height, width, 3) as PNG and returns the content of the file.

    Does not flush the file to disk, which would take half a second for thirty pictures. Raises RunFailed if the disk is
    full.
    """
    png = io.BytesIO()
    Image.fromarray(rgb).save(png, "PNG")
    write_atomically(step_file(folder, tag, step, ".png"), png.getvalue(), flush=False)
    return png.getvalue()


def remove_after(folder: Path, step: int, suffix: str) -> None:
    """Removes files whose names end with a later step than `step`; keeps files whose names do not end with a step."""
    for path in folder.rglob(f"*{suffix}"):
        number = path.stem.rpartition("_")[2]
        if number.isdigit() and int(number) > step:
            path.unlink()
