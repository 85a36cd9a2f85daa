"""TensorBoard as our logger, and how callbacks write to it.

Kept per tag by TensorBoard: 1000 scalars, 100 texts and 10 images, so nothing here writes more pictures than that.
"""

from collections.abc import Sequence
from pathlib import Path

from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

from headscope.data.corpus import Corpus
from headscope.data.datamodule import CorpusData
from headscope.run.recorder import Recorder

PICTURES = 10  #: that TensorBoard keeps of a tag


class TensorBoard(Recorder, TensorBoardLogger):
    """Events straight into a run's folder, so that `--logdir outputs` names runs by their folders.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder, name="", version="", default_hp_metric=False)

    def resume_at(self, step: int) -> None:
        """Drops what was logged after a step, which the resumed run will log again; all of it for 0."""
        keep_until(Path(self.log_dir), step)
        self._kwargs["purge_step"] = step + 1 if step else 0  # for a TensorBoard that is looking on

    def save(self) -> None:
        """Writes what is pending; the run's config lies in its folder already."""
        self.experiment.flush()


def keep_until(folder: Path, step: int) -> None:
    """Takes what was logged after a step out of a folder's event files, and a record that was cut off.

    `purge_step` alone hides scalars and images, not texts: those would stand twice.
    """
    for path in folder.glob("events.out.tfevents.*"):
        beside = path.with_name("events.beside")
        with beside.open("wb") as f:
            writer = RecordWriter(f)
            for record in RawEventFileLoader(str(path)).Load():
                event = Event.FromString(record)
                if event.HasField("file_version") or 0 < step >= event.step:
                    writer.write(record)
        beside.replace(path)


def board(trainer: Trainer) -> SummaryWriter | None:
    """The writer of a run that has TensorBoard, on the process that writes; else None."""
    if isinstance(trainer.logger, TensorBoard) and trainer.is_global_zero:
        writer: SummaryWriter = trainer.logger.experiment
        return writer
    return None


def corpus(trainer: Trainer) -> Corpus:
    """What the run trains on."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, CorpusData)
    return data.corpus


def validations(max_steps: int, interval: int) -> list[int]:
    """The steps at which a run validates; the last always."""
    return [*range(interval, max_steps, interval), max_steps]


def picture_steps(steps: Sequence[int], pictures: int = PICTURES) -> list[int]:
    """At most `pictures` of the steps, spread evenly from the first to the last."""
    n = min(pictures, len(steps))
    return [steps[round(i * (len(steps) - 1) / max(n - 1, 1))] for i in range(n)] if n > 1 else list(steps[-1:])


def is_picture_step(trainer: Trainer) -> bool:
    """Whether the validation that has just ended is one to draw."""
    interval = int(trainer.val_check_interval) // trainer.accumulate_grad_batches
    planned = picture_steps(validations(trainer.max_steps, interval))
    return trainer.state.fn == "fit" and trainer.global_step in planned
