"""TensorBoard: event files in the run's folder."""

import shutil
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from torch.utils.tensorboard.summary import hparams

from headscope.files import write_atomically
from headscope.run.folder import RunFolder
from headscope.run.recorder import Recorder
from headscope.watch.loggers.event_files import keep_until
from headscope.watch.loggers.pictures import drop_pictures, keep_picture

#: Tags and groups that keep their names. TensorBoard sorts groups by name and opens the first, and shows the first five
#: scalars in the table of HParams.
FIRST = ("train/loss", "val", "sample")
REST = "watch_"  #: begins the groups of all others, and sorts behind them


class TensorBoard(Recorder, TensorBoardLogger):
    """Writes events straight into the run's folder, so that `--logdir outputs` names runs by their folders.

    Pictures lie in `pictures/` as well, and what the projector shows in `projector/`.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder, name="", version="", default_hp_metric=False)
        self.folder = RunFolder(folder)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({shown(tag): value for tag, value in metrics.items()}, step)

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        """Encodes the picture once, for its file and for the event."""
        height, width, _ = rgb.shape
        png = keep_picture(self.folder, tag, rgb, step)
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        self.experiment.file_writer.add_summary(Summary(value=[Summary.Value(tag=shown(tag), image=image)]), step)

    def record_text(self, tag: str, text: str, step: int) -> None:
        self.experiment.add_text(shown(tag), as_block(text), step)

    def record_chart(self, title: str, tags: Sequence[str]) -> None:
        """Adds a chart under Custom Scalars. TensorBoard reads the first call only."""
        self.experiment.add_custom_scalars({title: {title: ["Multiline", [shown(tag) for tag in tags]]}})

    def record_embedding(self, tag: str, vectors: NDArray[np.float32], points: Sequence[tuple[str, str]]) -> None:
        tensors, metadata = f"projector/{tag}/tensors.tsv", f"projector/{tag}/metadata.tsv"
        config = ProjectorConfig()
        config.embeddings.add(tensor_name=tag, tensor_path=tensors, metadata_path=metadata)
        for file, lines in (
            (tensors, ["\t".join(map(str, vector)) for vector in vectors.tolist()]),
            (metadata, ["\t".join(point) for point in (("token", "class"), *points)]),
            ("projector_config.pbtxt", [str(config).strip()]),  # TensorBoard looks for it there
        ):
            write_atomically(self.folder.path / file, ("\n".join(lines) + "\n").encode())

    def record_end(self, choices: Mapping[str, int | float | str], metrics: Mapping[str, float], step: int) -> None:
        """Writes the run's row of the HParams table, and the best loss; the table has the last value of each scalar.

        The experiment tag that torch would write is left out: TensorBoard reads the tag of one run and drops the
        columns of all others. Without it the table is the union of all runs, what differs first.
        """
        _, start, end = hparams(dict(choices), {})  # type: ignore[no-untyped-call]
        writer = self.experiment.file_writer
        for part in (start, end):
            writer.add_summary(part, step)
        if (best := metrics.get("final/best_val_loss")) is not None:
            self.experiment.add_scalar("val/loss_best", best, step)

    def resume_at(self, step: int) -> None:
        """Also gives what an earlier version logged the names of today, and removes its second folder of HParams."""
        keep_until(self.folder.path, step, shown)
        drop_pictures(self.folder, step)
        shutil.rmtree(self.folder.path / "hparams", ignore_errors=True)
        self._kwargs["purge_step"] = step + 1 if step else 0  # for a TensorBoard that is already showing the run

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the row of the HParams table is written at the end."""

    def save(self) -> None:
        """Writes pending events to disk. Lightning would add a file of hyperparameters, which `.hydra/` already has."""
        self.experiment.flush()


def shown(tag: str) -> str:
    """A tag as TensorBoard gets it: in a group that sorts behind the losses, unless it is one of the first."""
    known = tag in FIRST or tag.partition("/")[0] in FIRST or tag.startswith(REST)
    return tag if known else f"{REST}{tag}"


def as_block(text: str) -> str:
    """Text as a Markdown code block, which TensorBoard shows unchanged."""
    return "\n".join(f"    {line}" for line in text.splitlines())
