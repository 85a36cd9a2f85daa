"""Cuts TensorBoard's event files back to a step."""

from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from headscope.files import BESIDE


def keep_until(folder: Path, step: int) -> None:
    """Removes what was logged after a step from a folder's event files, and a record that a kill cut off.

    By hand, because TensorBoard's own `purge_step` hides scalars and images only: texts would appear twice.

    Args:
        folder: searched for event files, without its subfolders.
        step: the last to keep; 0 keeps nothing.
    """
    for path in folder.glob("events.out.tfevents.*"):
        beside = path.with_name(f"events{BESIDE}")
        with beside.open("wb") as f:
            writer = RecordWriter(f)
            for record in RawEventFileLoader(str(path)).Load():
                event = Event.FromString(record)
                if event.HasField("file_version") or 0 < step >= event.step:
                    writer.write(record)
        beside.replace(path)
