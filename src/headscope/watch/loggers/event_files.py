"""Removes later steps from TensorBoard's event files."""

from collections.abc import Callable
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from headscope.files import BESIDE


def remove_later_events(folder: Path, step: int, rename: Callable[[str], str]) -> None:
    """Rewrites a folder's event files without later events and without a last record that a kill cut off.

    TensorBoard's own `purge_step` hides only scalars and images, so texts would appear twice. The run's row of the
    HParams table is removed too, because TensorBoard keeps the first row that it reads, and the run may be extended.

    Args:
        folder: searched for event files, without its subfolders.
        step: the last step to keep; 0 keeps nothing.
        rename: returns the current name of a tag that an earlier version may have written.
    """
    for path in folder.glob("events.out.tfevents.*"):
        temporary = path.with_name(f"events{BESIDE}")
        with temporary.open("wb") as f:
            writer = RecordWriter(f)
            for record in RawEventFileLoader(str(path)).Load():
                event = Event.FromString(record)
                if event.HasField("file_version"):
                    writer.write(record)
                elif 0 < step >= event.step:
                    kept = [v for v in event.summary.value if v.metadata.plugin_data.plugin_name != "hparams"]
                    for value in kept:
                        if value.metadata.plugin_data.plugin_name != "custom_scalars":  # TensorBoard chose that tag
                            value.tag = rename(value.tag)
                    if kept or not event.HasField("summary"):
                        del event.summary.value[:]
                        event.summary.value.extend(kept)
                        writer.write(event.SerializeToString())
        temporary.replace(path)
