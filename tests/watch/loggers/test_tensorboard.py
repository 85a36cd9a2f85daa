"""TensorBoard: a resumed run's events stand once, and texts are shown as they are."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from headscope.watch.loggers.tensorboard import TensorBoard, as_block


def logged(folder):
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    # Sorted: of two files of one second and process the tenth is read before the ninth, which no two runs make.
    scalars = {tag: sorted((e.step, e.value) for e in events.Scalars(tag)) for tag in tags["scalars"]}
    return scalars | {tag: sorted(e.step for e in events.Tensors(tag)) for tag in tags["tensors"]}


@pytest.fixture
def killed(tmp_path):
    """A run's folder with scalars and texts at 5, 10 and 15, and a record that was cut off."""
    logger = TensorBoard(str(tmp_path))
    for step in (5, 10, 15):
        logger.log_metrics({"x": step}, step)
        logger.record_text("sample", "text", step)
    logger.finalize("failed")
    (file,) = tmp_path.glob("events*")
    with file.open("ab") as f:
        f.write(file.read_bytes()[-40:-20])
    return tmp_path


@pytest.mark.parametrize("step", [0, 5, 10, 15])
def test_a_resume_drops_what_came_later_and_logs_it_again_once(killed, step):
    logger = TensorBoard(str(killed))
    logger.resume_at(step)
    kept = [s for s in (5, 10, 15) if s <= step]
    assert logged(killed) == ({"x": [(s, s) for s in kept], "sample/text_summary": kept} if kept else {})
    for again in range(step + 5, 21, 5):
        logger.log_metrics({"x": -again}, again)
        logger.record_text("sample", "again", again)
    logger.save()
    values = [(s, s if s <= step else -s) for s in (5, 10, 15, 20)]
    assert logged(killed) == {"x": values, "sample/text_summary": [5, 10, 15, 20]}
    assert not list(killed.glob("*.beside"))


def test_a_text_is_a_block_of_code_in_markdown():
    assert as_block("# a\n\n* b\n") == "    # a\n    \n    * b"
