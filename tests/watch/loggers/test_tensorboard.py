"""TensorBoard: a resumed run has every event once, and texts are shown unchanged."""

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter

from headscope.watch.loggers.tensorboard import TensorBoard, code_block, grouped_tag


def logged(folder):
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    # Sorted, because TensorBoard reads the tenth file of a process before the ninth; a real process writes only one.
    scalars = {tag: sorted((e.step, e.value) for e in events.Scalars(tag)) for tag in tags["scalars"]}
    return scalars | {tag: sorted(e.step for e in events.Tensors(tag)) for tag in tags["tensors"]}


@pytest.fixture
def killed(tmp_path):
    """Returns a run's folder with scalars and texts at steps 5, 10 and 15, and an incomplete last record."""
    logger = TensorBoard(str(tmp_path))
    for step in (5, 10, 15):
        logger.log_metrics({"val/x": step}, step)
        logger.record_text("sample", "text", step)
    logger.finalize("failed")
    (file,) = tmp_path.glob("events*")
    with file.open("ab") as f:
        f.write(file.read_bytes()[-40:-20])
    return tmp_path


@pytest.mark.parametrize("step", [0, 5, 10, 15])
def test_a_resumed_run_logs_later_steps_again_once(killed, step):
    logger = TensorBoard(str(killed))
    logger.resume_at(step)
    kept = [s for s in (5, 10, 15) if s <= step]
    assert logged(killed) == ({"val/x": [(s, s) for s in kept], "sample/text_summary": kept} if kept else {})
    for again in range(step + 5, 21, 5):
        logger.log_metrics({"val/x": -again}, again)
        logger.record_text("sample", "again", again)
    logger.save()
    values = [(s, s if s <= step else -s) for s in (5, 10, 15, 20)]
    assert logged(killed) == {"val/x": values, "sample/text_summary": [5, 10, 15, 20]}
    assert not list(killed.glob("*.beside"))


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        *(("val/loss", "val/loss"), ("train/loss", "train/loss"), ("sample", "sample"), ("run", "watch_run")),
        *(
            ("heads/L0H0/sink", "watch_heads/L0H0/sink"),
            ("train/lr", "watch_train/lr"),
            ("valid", "watch_valid"),
            ("watch_run", "watch_run"),
        ),
    ],
)
def test_other_scalars_sort_after_the_losses(tag, wanted):
    assert grouped_tag(tag) == grouped_tag(grouped_tag(tag)) == wanted


def test_resuming_a_run_of_an_earlier_version_renames_its_tags(tmp_path):
    with SummaryWriter(str(tmp_path)) as old:
        for step in (5, 10):
            old.add_scalar("speed/tokens_per_second", step, step)
            old.add_scalar("val/loss", step, step)
        old.add_text("config", "{}", 0)
        old.add_custom_scalars({"losses": {"losses": ["Multiline", ["val/loss"]]}})
    with SummaryWriter(str(tmp_path / "hparams")) as old:
        old.add_scalar("final/val_loss", 1.0, 10)
    logger = TensorBoard(str(tmp_path))
    logger.resume_at(5)
    logger.log_metrics({"speed/tokens_per_second": 11.0}, 10)
    logger.save()
    assert logged(tmp_path) == {
        "watch_speed/tokens_per_second": [(5, 5.0), (10, 11.0)],
        "val/loss": [(5, 5.0)],
        "watch_config/text_summary": [0],
        "custom_scalars__config__": [0],
    }
    assert not (tmp_path / "hparams").exists()


def test_an_extended_run_has_one_row_with_its_final_length(tmp_path):
    for begin, steps in ((0, 10), (10, 20)):
        logger = TensorBoard(str(tmp_path))
        if begin:
            logger.resume_at(begin)
        logger.record_end({"position": "rope", "trainer.max_steps": steps}, {"final/best_val_loss": 1 / steps}, steps)
        logger.finalize("success")
    events = EventAccumulator(str(tmp_path)).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert hparams["trainer.max_steps"].number_value == 20
    assert hparams["position"].string_value == "rope"
    assert [e.step for e in events.Scalars("val/loss_best")] == [10, 20]


def test_a_resumed_run_replaces_later_pictures(tmp_path):
    logger = TensorBoard(str(tmp_path))
    for step in (0, 5, 10):
        logger.record_picture("attention/layer_0", np.full((2, 3, 3), step, np.uint8), step)
    logger.finalize("failed")
    (tmp_path / "pictures" / "mine.png").write_bytes(b"")
    again = TensorBoard(str(tmp_path))
    again.resume_at(5)
    assert {p.name for p in tmp_path.rglob("*.png")} == {"layer_0_000000.png", "layer_0_000005.png", "mine.png"}
    again.record_picture("attention/layer_0", np.full((2, 3, 3), 99, np.uint8), 10)
    again.save()
    drawn = EventAccumulator(str(tmp_path)).Reload().Images("watch_attention/layer_0")
    files = sorted((tmp_path / "pictures" / "attention").iterdir())
    assert [e.step for e in drawn] == [0, 5, 10]
    assert [e.encoded_image_string for e in drawn] == [f.read_bytes() for f in files]
    assert [int(np.asarray(Image.open(f)).max()) for f in files] == [0, 5, 99]
    assert (drawn[0].width, drawn[0].height) == (3, 2)


def test_a_text_becomes_a_code_block():
    assert code_block("# a\n\n* b\n") == "    # a\n    \n    * b"
