"""CSV: a table of scalars in the run's folder, with pictures and texts as files `TAG_STEP.png` and `TAG_STEP.txt`."""

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

Rows = dict[int, dict[str, float | str]]  #: for each step, the values by name


class Csv(Recorder, Logger):
    """Writes `metrics.csv` (one row per logged step), `pictures/TAG_STEP.png` and `texts/TAG_STEP.txt`.

    A new file replaces the whole table at every validation and when the run ends, so that a kill at any time leaves a
    complete table and a new metric adds a column. Lightning's `CSVLogger` is not used, because it deletes the table of
    a run that it resumes and rewrites files in place. `summary.json` has the final metrics.
    """

    name = "csv"
    version = ""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.table = Path(folder) / "metrics.csv"
        self._pictures, self._texts = RunFolder(folder).pictures, Path(folder) / "texts"
        self._rows: Rows = {}

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing, because `.hydra/config.yaml` has the config."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._rows.setdefault(step or 0, {}).update({name: float(value) for name, value in metrics.items()})

    @rank_zero_only
    def save(self) -> None:
        """Replaces the table on disk. Columns are in the order in which their metrics first appeared.

        Raises RunFailed if the disk is full; then the old table stays.
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
        remove_later(self._pictures, step, ".png")
        remove_later(self._texts, step, ".txt")


def read_rows(table: Path) -> Rows:
    """Returns the rows of a table by step, with values as written; empty if the table does not exist.

    Merges rows of one step and drops an incomplete last line, both of which earlier versions could write.
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

    Does not wait for the disk, because waiting takes half a second for thirty pictures. Raises RunFailed if the disk is
    full.
    """
    png = io.BytesIO()
    Image.fromarray(rgb).save(png, "PNG")
    write_atomically(step_file(folder, tag, step, ".png"), png.getvalue(), flush=False)
    return png.getvalue()


def remove_later(folder: Path, step: int, suffix: str) -> None:
    """Removes the files of later steps, and keeps files whose names do not end with a step."""
    for path in folder.rglob(f"*{suffix}"):
        number = path.stem.rpartition("_")[2]
        if number.isdigit() and int(number) > step:
            path.unlink()
