"""The logger for TensorBoard: writes event files to the run's folder."""

import shutil
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams

from headscope.files import BESIDE, write_atomically
from headscope.run.folder import RunFolder
from headscope.run.recorder import Recorder
from headscope.watch.loggers.csv import remove_after, write_picture

#: Tags and groups that keep their names, so that they come first. TensorBoard sorts groups by name and opens the first
#: one, and the HParams table has columns for the first five scalars.
FIRST = ("train/loss", "val", "sample")
PREFIX = "watch_"  #: put before the names of all other groups, so that they come after the groups in FIRST


class TensorBoard(Recorder, TensorBoardLogger):
    """Writes events and projector files to the run's folder, and a copy of each picture to its `pictures/`."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, name="", version="", default_hp_metric=False)
        self.folder = RunFolder(folder)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({grouped_tag(tag): value for tag, value in metrics.items()}, step)

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        """Encodes the picture as PNG once, for both the file and the event."""
        png = write_picture(self.folder.pictures, tag, rgb, step)
        height, width, _ = rgb.shape
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        self.experiment.file_writer.add_summary(Summary(value=[Summary.Value(tag=grouped_tag(tag), image=image)]), step)

    def record_text(self, tag: str, text: str, step: int) -> None:
        self.experiment.add_text(grouped_tag(tag), code_block(text), step)

    def record_chart(self, title: str, tags: Sequence[str]) -> None:
        """Adds a chart under Custom Scalars; call it once, because TensorBoard shows only one layout."""
        self.experiment.add_custom_scalars({title: {title: ["Multiline", [grouped_tag(tag) for tag in tags]]}})

    def record_embedding(self, tag: str, vectors: NDArray[np.float32], points: Sequence[tuple[str, str]]) -> None:
        tensors, metadata = f"projector/{tag}/tensors.tsv", f"projector/{tag}/metadata.tsv"
        config = ProjectorConfig()
        config.embeddings.add(tensor_name=tag, tensor_path=tensors, metadata_path=metadata)
        for file, lines in (
            (tensors, ["\t".join(map(str, vector)) for vector in vectors.tolist()]),
            (metadata, ["\t".join(point) for point in (("token", "class"), *points)]),
            ("projector_config.pbtxt", [str(config).strip()]),  # TensorBoard requires this name in this folder
        ):
            write_atomically(self.folder.path / file, ("\n".join(lines) + "\n").encode())

    def record_end(self, choices: Mapping[str, int | float | str], metrics: Mapping[str, float], step: int) -> None:
        """Writes the run's row of the HParams table, and the best loss.

        Leaves out the experiment tag that torch's function writes. TensorBoard reads this tag from only one run, so
        columns of other runs would be missing. Without it, the table has the columns of all runs.
        """
        _, start, end = hparams(dict(choices), {})  # type: ignore[no-untyped-call]
        for part in (start, end):
            self.experiment.file_writer.add_summary(part, step)
        if (best := metrics.get("final/best_val_loss")) is not None:
            self.experiment.add_scalar("val/loss_best", best, step)

    def resume_at(self, step: int) -> None:
        """Removes later events and pictures, and the folder `hparams` that earlier versions wrote."""
        remove_events_after(self.folder.path, step)
        remove_after(self.folder.pictures, step, ".png")
        shutil.rmtree(self.folder.path / "hparams", ignore_errors=True)
        # A TensorBoard process that has already loaded the run then drops the later scalars and images.
        self._kwargs["purge_step"] = step + 1 if step else 0

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing, because `record_end` writes the row of the HParams table."""

    def save(self) -> None:
        """Writes pending events to disk. Lightning would also write hyperparameters, but `.hydra/` has them."""
        self.experiment.flush()


def grouped_tag(tag: str) -> str:
    """Returns the tag with a prefix that sorts its group after the losses, unless the tag or its group is in FIRST."""
    is_first = tag in FIRST or tag.partition("/")[0] in FIRST
    return tag if is_first or tag.startswith(PREFIX) else f"{PREFIX}{tag}"


def code_block(text: str) -> str:
    """Returns text as a Markdown code block, which TensorBoard shows unchanged."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def remove_events_after(folder: Path, step: int) -> None:
    """Rewrites a folder's event files without the events after a step, or without any events if the step is 0.

    Needed because TensorBoard's `purge_step` hides only scalars and images, so texts would appear twice. Also removes
    an incomplete last record, which a killed process leaves, and renames tags from earlier versions. The run's row of
    the HParams table is removed because TensorBoard shows the first row that it reads; the resumed run adds a new row.
    """
    for path in folder.glob("events.out.tfevents.*"):
        temporary = path.with_name(f"events{BESIDE}")
        with temporary.open("wb") as f:
            writer = RecordWriter(f)
            for record in RawEventFileLoader(str(path)).Load():
                event = Event.FromString(record)
                if event.HasField("file_version"):
                    writer.write(record)
                elif step > 0 and event.step <= step:
                    kept = [v for v in event.summary.value if v.metadata.plugin_data.plugin_name != "hparams"]
                    for value in kept:
                        if value.metadata.plugin_data.plugin_name != "custom_scalars":  # tags that torch sets
                            value.tag = grouped_tag(value.tag)
                    if kept or not event.HasField("summary"):
                        del event.summary.value[:]
                        event.summary.value.extend(kept)
                        writer.write(event.SerializeToString())
        temporary.replace(path)
