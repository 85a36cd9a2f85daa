"""Callbacks that show a run do not change it, and show what happened."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

from headscope.errors import RunFailed
from headscope.heads import table
from headscope.heads.roles import ROLE_RULES
from headscope.run.history import History
from headscope.run.recorder import recorders
from headscope.watch import curves
from headscope.watch.curves import Curves, peak_megabytes
from headscope.watch.heads import picture_steps, validation_steps
from headscope.watch.loggers.csv import Csv
from headscope.watch.run_card import choices, logged, token_class
from tests.conftest import Short, fit, shell


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Trains the same 200 steps with all callbacks and with none; returns both folders."""
    folders = []
    for choice in (
        ["callbacks=default", "callbacks.heads.describe_from=0", "logger=tensorboard"],
        ["callbacks=none", "logger=none"],
    ):
        folder = tmp_path_factory.mktemp("twin")
        done = shell(
            "train.py",
            *choice,
            "data=pydoc",
            "model.d_model=32",
            "model.n_layers=2",
            "model.block_size=32",
            "model.dropout=0.1",
            "trainer.max_steps=200",
            "trainer.val_check_interval=15",
            f"hydra.run.dir={folder}",
        )
        assert done.returncode == 0, done.stderr
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def events(twins):
    return EventAccumulator(str(twins[0]), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload()


def test_watching_changes_nothing(twins):
    watched, alone = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in twins)
    assert watched["global_step"] == alone["global_step"] == 200
    for name, weight in watched["state_dict"].items():
        assert torch.equal(weight, alone["state_dict"][name]), name
    histories = [json.loads((f / "summary.json").read_text())["history"] for f in twins]
    assert [h["val_loss"] for h in histories[0]] == [h["val_loss"] for h in histories[1]]
    assert not list(twins[1].glob("events*"))


def test_curves(events):
    tags = {tag for tag in events.Tags()["scalars"] if not tag.startswith("watch_heads/")}
    assert tags == {
        "train/loss",
        "watch_train/lr",
        "watch_train/grad_norm",
        "val/loss",
        "val/accuracy",
        "val/bits_per_character",
        "val/perplexity",
        "val/loss_best",
        "watch_speed/tokens_per_second",
        "watch_speed/memory_mb",
    }
    loss, bits = events.Scalars("val/loss")[-1].value, events.Scalars("val/bits_per_character")[-1].value
    assert bits == pytest.approx(loss / 0.693147, rel=1e-4)
    lr = [e.value for e in events.Scalars("watch_train/lr")]
    assert lr[4] == pytest.approx(1e-3)
    assert lr[-1] == pytest.approx(1e-4, rel=0.02)
    assert events.Tags()["tensors"].count("custom_scalars__config__") == 1


def test_the_losses_are_what_tensorboard_opens(events):
    """TensorBoard sorts groups by name and opens the first two; HParams shows the first five scalars by name."""
    scalars = events.Tags()["scalars"]
    groups = sorted({tag.partition("/")[0] for tag in (*scalars, *events.Tags()["images"])})
    assert groups[:2] == ["train", "val"]
    assert {"train/loss", "val/loss", "val/loss_best"} < set(sorted(scalars)[:5])
    assert [tag for tag in scalars if tag.startswith("train/")] == ["train/loss"]


def test_pictures_are_ten_a_tag_from_before_the_first_step_to_the_last(events):
    assert set(events.Tags()["images"]) == {
        *(f"watch_{kind}/layer_{layer}" for kind in ("attention", "norm_weighted") for layer in (0, 1)),
        *(f"watch_head_attention/L{layer}H{head}" for layer in (0, 1) for head in range(4)),
        *(f"watch_heads/{rule.score}" for rule in ROLE_RULES.values()),
        "watch_rollout",
        "watch_positions",
        "watch_loss_and_roles",
    }
    assert [e.step for e in events.Images("watch_loss_and_roles")] == [200]
    for tag in set(events.Tags()["images"]) - {"watch_loss_and_roles"}:
        steps = [e.step for e in events.Images(tag)]
        assert len(steps) == 10
        assert (steps[:2], steps[-1]) == ([0, 15], 200)
        assert events.Images(tag)[0].width > 250


def test_a_head_has_a_larger_picture_than_in_that_of_its_layer(events):
    (head, *_), (layer, *_) = (events.Images(f"watch_{t}") for t in ("head_attention/L0H0", "attention/layer_0"))
    assert head.width > 1.3 * layer.width / 2  # the layer's picture has two heads in a row


def test_the_same_pictures_lie_in_the_folder_as_files(twins, events):
    for tag in events.Tags()["images"]:
        files = sorted((twins[0] / "pictures").glob(f"{tag.removeprefix('watch_')}_??????.png"))
        shown = [(f"{e.step:06}", e.encoded_image_string) for e in events.Images(tag)]
        assert [(f.stem[-6:], f.read_bytes()) for f in files] == shown
    assert not (twins[1] / "pictures").exists()


def test_texts(events):
    names = {t.removesuffix("/text_summary") for t in events.Tags()["tensors"] if t.endswith("/text_summary")}
    assert names == {"sample", "watch_config", "watch_heads", "watch_run"}
    assert min(names) == "sample", "TensorBoard sorts by name, and samples must be first"
    assert len(events.Tensors("watch_heads/text_summary")) == 15, "one before training and one per validation"
    assert len(events.Tensors("sample/text_summary")) == 14  # one per validation
    config = events.Tensors("watch_config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert '"d_model": 32' in config


def test_hparams_lie_in_the_runs_own_events_without_an_experiment(twins, events):
    (file,) = twins[0].rglob("events*")
    content = file.read_bytes()
    assert b"_hparams_/session_start_info" in content
    assert b"_hparams_/experiment" not in content
    assert b"model.d_model" in content
    best = json.loads((twins[0] / "summary.json").read_text())["best_val_loss"]
    assert [(e.step, e.value) for e in events.Scalars("val/loss_best")] == [(200, pytest.approx(best))]


def test_the_projector_has_a_label_and_a_class_for_every_token(twins):
    config = (twins[0] / "projector_config.pbtxt").read_text()
    assert 'metadata_path: "projector/embedding/metadata.tsv"' in config
    (metadata,) = twins[0].rglob("metadata.tsv")
    (tensors,) = twins[0].rglob("tensors.tsv")
    assert metadata.parent == tensors.parent == twins[0] / "projector" / "embedding"
    header, *lines = metadata.read_text().splitlines()
    assert header == "token\tclass"
    points = dict(line.split("\t") for line in lines)
    wanted = {"·": "space", "↵": "space", "a": "small letter", "A": "capital letter", "0": "digit", ".": "punctuation"}
    assert wanted.items() <= points.items()
    vectors = np.loadtxt(tensors)
    weights = torch.load(twins[0] / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    (embedding,) = (w for name, w in weights.items() if name.endswith("embedding.weight") and w.shape[1] == 32)
    np.testing.assert_array_equal(vectors.astype(np.float32), embedding.numpy())
    assert len(points) == len(vectors)


@pytest.mark.parametrize(
    ("token", "wanted"),
    [
        *(("a", "small letter"), ("Q", "capital letter"), ("é", "small letter"), ("字", "letter"), ("7", "digit")),
        *((" ", "space"), ("\n\n", "space"), ("!", "punctuation"), ("--", "punctuation"), (" 42", "number")),
        *((" the", "space and letters"), ("the", "letters"), (" a", "space and letters"), ("don't", "mixed")),
        *(("<pad>", "special"), ("<", "punctuation"), ("<>", "punctuation"), (r"\xe2\x82", "bytes")),
    ],
)
def test_a_token_has_a_class(token, wanted):
    assert token_class(token) == wanted


def test_choices_are_flat_and_plain():
    about = {
        "config": {"model": {"d_model": 8, "position": {"_target_": "x"}}, "seed": True},
        "position": "rope",
        "data": {"name": "toy"},
    }
    assert choices(about) == {"model.d_model": 8, "data.name": "toy", "position": "rope", "seed": "True"}


def test_speed_counts_training_alone_and_waits_for_the_gpu(monkeypatch):
    """A step takes one second on the CPU, and two more on the GPU, which computes until a call waits for it."""
    now, gpu, reported = [0.0], [0.0], []

    def wait(device):
        now[0] = max(now[0], gpu[0])

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**20)
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}])
    watched, history = Curves(), History()
    trainer = SimpleNamespace(world_size=2, optimizers=[optimizer], callbacks=[history, watched], global_step=0)
    module = SimpleNamespace(device=torch.device("cuda"), grad_norm=torch.ones(()), report=reported.append)
    batch = torch.zeros(4, 15)  # 120 tokens in total on 2 devices
    for step in range(1, 5):
        history.on_train_batch_start(trainer, module, [batch], step)
        now[0], gpu[0] = now[0] + 1, max(now[0], gpu[0]) + 3
        module.at_log_step = lambda step=step: step % 2 == 0
        history.on_train_batch_end(trainer, module, None, [batch], step)
        watched.on_train_batch_end(trainer, module, None, [batch], step)
        if step in (1, 2):
            history.on_validation_start(trainer, module)
            now[0] += 1000
    assert [m["speed/tokens_per_second"] for m in reported] == [2 * 120 / 6, 2 * 120 / 6]
    assert reported[0]["speed/memory_mb"] == 3
    assert history.train_seconds == 12


def test_without_the_resource_module_memory_is_left_out(monkeypatch):
    assert peak_megabytes(torch.device("cpu")) > 50
    monkeypatch.setattr(curves, "resource", None)  # Windows has no module `resource`
    assert peak_megabytes(torch.device("cpu")) is None


def test_only_the_main_process_records():
    logger = Csv("unused")
    assert recorders(SimpleNamespace(loggers=[logger, DummyLogger()], is_global_zero=True)) == [logger]
    assert recorders(SimpleNamespace(loggers=[logger], is_global_zero=False)) == []


@pytest.mark.parametrize(
    ("steps", "interval", "wanted"),
    [
        (100, 25, [0, 25, 50, 75, 100]),
        (7, 25, [0, 7]),
        (110, 50, [0, 50, 100, 110]),
        (2000, 100, [0, 100, 200, 300, 400, 500, 700, 900, 1400, 2000]),
        (5000, 50, [0, 50, 100, 150, 300, 500, 900, 1600, 2800, 5000]),
    ],
)
def test_pictures_begin_before_the_first_step_and_are_dense_early(steps, interval, wanted):
    assert picture_steps(validation_steps(steps, interval)) == wanted


def test_a_loss_that_is_not_finite_is_named_and_never_saved(tmp_path):
    done = shell(
        "train.py",
        "data=pydoc",
        "optimizer.lr=1e30",
        "trainer.max_steps=30",
        "trainer.val_check_interval=10",
        f"hydra.run.dir={tmp_path}",
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "the loss at step 2 is not finite (lr 4e+28" in done.stderr
    assert "Try a lower optimizer.lr" in done.stderr
    assert not list(tmp_path.rglob("*.ckpt"))
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "failed"


def test_the_last_good_checkpoint_stays(tmp_path):
    from lightning import Callback
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.global_step == 12:
                torch.nn.init.constant_(module.model.head.weight, float("nan"))

    keep = ModelCheckpoint(dirpath=tmp_path, filename="last", every_n_train_steps=5, enable_version_counter=False)
    with pytest.raises(RunFailed, match="the loss at step 13 is not finite"):
        fit(steps=30, callbacks=[Poison(), keep], source=Short(tokens=3000), log_every=7)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 10


def test_every_score_of_every_head_is_kept(twins, events):
    rows = table.from_csv((twins[0] / "heads.csv").read_text())
    steps = [0, *range(15, 200, 15), 200]
    assert [(r["step"], r["layer"], r["head"]) for r in rows] == [
        (s, layer, head) for s in steps for layer in range(2) for head in range(4)
    ]
    for r in (r for r in rows if r["layer"] == 1 and r["head"] == 2):
        logged = {e.step: e.value for e in events.Scalars("watch_heads/L1H2/induction")}
        assert logged[r["step"]] == pytest.approx(r["induction"], rel=1e-4)
    summary = json.loads((twins[0] / "summary.json").read_text())
    assert [h["head"] for h in summary["heads"]] == [f"L{layer}H{head}" for layer in range(2) for head in range(4)]
    losses = [(h["step"], h["val_loss"]) for h in summary["history"]]
    for role, f in summary["roles"].items():
        first = next(r["step"] for r in rows if r["role"] == role and r["confirmed"])
        assert (f["step"], f["val_loss"]) == (first, dict(losses)[first])
    assert "heads" not in json.loads((twins[1] / "summary.json").read_text())


def test_a_logged_config_has_no_folders():
    folder = {"_target_": "headscope.watch.heads.Film", "folder": "/home/me/run"}
    config = {"seed": 1, "paths": {"run_dir": "/home/me/run"}, "logger": {"csv": folder}, "callbacks": {"film": folder}}
    assert logged(config | {"model": {"d_model": 8}}) == {
        "seed": 1,
        "callbacks": {"film": {"_target_": "headscope.watch.heads.Film"}},
        "model": {"d_model": 8},
    }
    assert logged({"callbacks": {"film": None}}) == {"callbacks": {"film": None}}
