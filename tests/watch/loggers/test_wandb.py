"""`logger=wandb` offline: the files that `wandb sync` would send."""

import struct

import numpy as np
import pytest
import wandb
from wandb.proto.wandb_internal_pb2 import Record

from headscope.errors import UserError
from headscope.watch.loggers.wandb import Wandb


def records(folder):
    """Yields the records of a run's files, in the order of the files.

    A file has a header of 7 bytes and a log in LevelDB's format: blocks of 32 KiB with pieces (checksum, length, kind).
    The last piece of a record has kind 1 (the whole record) or 4 (its end).
    """
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        data, at, content = file.read_bytes(), 7, b""
        while at + 7 <= len(data):
            if 32768 - at % 32768 < 7:
                at += 32768 - at % 32768
                continue
            _, size, kind = struct.unpack_from("<IHB", data, at)
            content += data[at + 7 : at + 7 + size]
            at += 7 + size
            if kind in (1, 4):
                yield Record.FromString(content)
                content = b""


def rows(folder):
    """Returns the logged rows, {name: value as JSON}; a part of a picture or text is named NAME/PART."""
    for record in records(folder):
        if record.WhichOneof("record_type") == "history":
            yield {"/".join(item.nested_key): item.value_json for item in record.history.item}


@pytest.fixture
def logger(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")  # otherwise Lightning sets it for all later tests
    monkeypatch.setenv("WANDB_SILENT", "true")
    return lambda: Wandb(str(tmp_path), "tests", offline=True)


def test_a_resumed_run_continues_in_wandb(tmp_path, logger):
    before = logger()
    before.log_hyperparams({"model.d_model": 32})
    before.log_metrics({"train/loss": 4.5}, 5)
    before.record_picture("attention/layer_0", np.zeros((2, 3, 3), np.uint8), 5)
    before.record_text("sample", "<&>\n", 5)
    before.finalize("failed")
    after = logger()
    after.resume_at(5)
    after.log_hyperparams({"model.d_model": 32, "trainer.max_steps": 20})
    after.log_metrics({"train/loss": 4.25}, 10)
    after.record_end({}, {"final/val_loss": 4.0}, 10)
    after.finalize("success")
    wandb.teardown()  # waits for wandb's process, which writes files after the run has finished
    assert after.version == before.version
    first, second = rows(tmp_path)
    assert (first["trainer/global_step"], first["_step"], first["train/loss"]) == ("5", "5", "4.5")
    assert first["attention/layer_0/_type"] == '"image-file"'
    assert first["sample/_type"] == '"html-file"'
    assert (second["trainer/global_step"], second["_step"], second["train/loss"]) == ("10", "10", "4.25")
    (text,) = tmp_path.glob("wandb/*/files/media/html/sample_5_*.html")
    assert text.read_text() == "<pre>&lt;&amp;&gt;\n</pre>"
    assert list(tmp_path.glob("wandb/*/files/media/images/attention/layer_0_5_*.png"))
    assert (tmp_path / "wandb_run.txt").read_text() == f"{before.version}\n5\n10\n"
    summary = [item for r in records(tmp_path) for item in r.summary.update]
    assert ("final/val_loss", "4.0") in {(item.key, item.value_json) for item in summary}
    config = {item.key: item.value_json for r in records(tmp_path) for item in r.config.update}
    assert config["model.d_model"] == "32"
    assert config["trainer.max_steps"] == "20"
    assert [r.exit.exit_code for r in records(tmp_path) if r.WhichOneof("record_type") == "exit"] == [1, 0]


def test_not_logged_in_gives_a_message_of_one_line(tmp_path, monkeypatch):
    def refuse(**options):
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.\nmore")

    monkeypatch.setattr(wandb, "init", refuse)
    logger = Wandb(str(tmp_path), "tests")
    with pytest.raises(UserError, match=r"^wandb: No API key.*; or set logger.wandb.offline=true to save files here$"):
        _ = logger.experiment
    logger.finalize("failed")  # Lightning calls this after the error, and it must not raise
