"""Cuts TensorBoard's event files back to a step."""

from collections.abc import Callable
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from headscope.files import BESIDE


def keep_until(folder: Path, step: int, named: Callable[[str], str]) -> None:
    """Removes what was logged after a step from a folder's event files, and a record that a kill cut off.

    By hand, because TensorBoard's own `purge_step` hides scalars and images only: texts would appear twice. The row of
    the HParams table goes too: TensorBoard keeps the first that it reads, and the run may be extended.

    Args:
        folder: searched for event files, without its subfolders.
        step: the last to keep; 0 keeps nothing.
        named: the name of today for a tag that an earlier version may have written.
    """
    for path in folder.glob("events.out.tfevents.*"):
        beside = path.with_name(f"events{BESIDE}")
        with beside.open("wb") as f:
            writer = RecordWriter(f)
            for record in RawEventFileLoader(str(path)).Load():
                event = Event.FromString(record)
                if event.HasField("file_version"):
                    writer.write(record)
                elif 0 < step >= event.step:
                    kept = [v for v in event.summary.value if v.metadata.plugin_data.plugin_name != "hparams"]
                    for value in kept:
                        if value.metadata.plugin_data.plugin_name != "custom_scalars":  # its tag is TensorBoard's own
                            value.tag = named(value.tag)
                    if kept or not event.HasField("summary"):
                        del event.summary.value[:]
                        event.summary.value.extend(kept)
                        writer.write(event.SerializeToString())
        beside.replace(path)
