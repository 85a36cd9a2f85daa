"""TensorBoard: event files in the run's folder."""

import shutil
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from headscope.run.recorder import Recorder
from headscope.watch.loggers.event_files import keep_until


class TensorBoard(Recorder, TensorBoardLogger):
    """Writes events straight into the run's folder, so that `--logdir outputs` names runs by their folders.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder, name="", version="", default_hp_metric=False)

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        self.experiment.add_image(tag, rgb, step, dataformats="HWC")

    def record_text(self, tag: str, text: str, step: int) -> None:
        self.experiment.add_text(tag, as_block(text), step)

    def record_chart(self, title: str, tags: Sequence[str]) -> None:
        """Adds a chart under Custom Scalars. TensorBoard reads the first call only."""
        self.experiment.add_custom_scalars({title: {title: ["Multiline", list(tags)]}})

    def record_embedding(self, tag: str, vectors: NDArray[np.float32], labels: Sequence[str], step: int) -> None:
        self.experiment.add_embedding(vectors, metadata=list(labels), global_step=step, tag=tag)

    def record_end(self, choices: Mapping[str, int | float | str], metrics: Mapping[str, float], step: int) -> None:
        write_hparams(Path(self.log_dir) / "hparams", choices, metrics, step)

    def resume_at(self, step: int) -> None:
        keep_until(Path(self.log_dir), step)
        self._kwargs["purge_step"] = step + 1 if step else 0  # for a TensorBoard that is already showing the run

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the HParams table has its own session, written at the end."""

    def save(self) -> None:
        """Writes pending events to disk. Lightning would add a file of hyperparameters, which `.hydra/` already has."""
        self.experiment.flush()


def as_block(text: str) -> str:
    """Text as a Markdown code block, which TensorBoard shows unchanged."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def write_hparams(
    folder: Path, choices: Mapping[str, int | float | str], metrics: Mapping[str, float], step: int
) -> None:
    """Writes a session of the HParams table into its own folder, so that final metrics are its only metric columns.

    The experiment tag that torch would write is left out: TensorBoard reads the tag of one run and drops the columns of
    all others. Without it the table is the union of all runs.
    """
    shutil.rmtree(folder, ignore_errors=True)  # the session of a run that has since been extended
    _, start, end = hparams(dict(choices), {})  # type: ignore[no-untyped-call]
    with SummaryWriter(str(folder)) as writer:
        writer.file_writer.add_summary(start)
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.file_writer.add_summary(end)
