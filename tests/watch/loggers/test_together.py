"""All loggers together, in a run that is killed and resumed, with one process and with two."""

import json
import re
import signal
import subprocess
import sys

import pytest
import torch
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

from tests.conftest import ROOT, shell
from tests.watch.loggers.conftest import TINY, steps
from tests.watch.loggers.test_wandb import rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*``noload`` loader strategy:DeprecationWarning"),
]
LOGGED, VALIDATED = [5, 10, 15, 20, 25, 30, 35, 40], [10, 20, 30, 40]
DRAWN = [0, *VALIDATED]


def all_loggers(folder):
    return (
        *("logger=[tensorboard,csv,wandb,mlflow]", "logger.wandb.offline=true", f"hydra.run.dir={folder}"),
        f"logger.mlflow.store={folder.parent}/store",
    )


def killed(line, *command):
    """Runs a command until it prints a line, then kills it."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        assert any(line in text for text in process.stdout)
        process.send_signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trains 40 steps. The run is killed between the validation of step 20 and its checkpoint, and resumed at 10."""
    folder = tmp_path_factory.mktemp("runs") / "all"
    killed("step     20/40", *TINY, "trainer.max_steps=40", *all_loggers(folder))
    before = (folder / "metrics.csv").read_text()
    assert before.endswith("\n")
    assert steps(folder, "train/lr") == [5, 10]
    done = shell("train.py", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert "at step 10" in done.stdout
    return folder


def test_csv_has_every_step_once(run):
    assert steps(run, "train/lr") == steps(run, "train/loss") == LOGGED
    assert steps(run, "val/loss") == VALIDATED
    assert len(list(run.glob("texts/sample*"))) == len(VALIDATED)
    assert {p.name for p in run.glob("pictures/attention/*")} == {f"layer_0_{step:06}.png" for step in DRAWN}


def test_tensorboard_has_every_step_once(run):
    events = EventAccumulator(str(run), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    for tag, wanted in (("watch_train/lr", LOGGED), ("train/loss", LOGGED), ("val/loss", VALIDATED)):
        assert [e.step for e in events.Scalars(tag)] == wanted, tag
    assert [e.step for e in events.Images("watch_attention/layer_0")] == DRAWN
    assert [e.step for e in events.Tensors("sample/text_summary")] == VALIDATED
    assert [e.step for e in events.Tensors("watch_config/text_summary")] == [0]


def test_wandb_has_no_step_twice_and_every_step_since_the_kill(run):
    """A kill loses the last rows, which wandb has not written to its file yet."""
    logged = list(rows(run))
    for name, wanted in (
        *(("train/lr", LOGGED), ("train/loss", LOGGED), ("val/loss", VALIDATED)),
        *(("attention/layer_0/_type", DRAWN), ("sample/_type", VALIDATED)),
    ):
        found = [int(row["trainer/global_step"]) for row in logged if name in row]
        assert [step for step in found if step >= 20] == [step for step in wanted if step >= 20], name
        assert sorted(set(found)) == found


def test_mlflow_has_every_step_once(run):
    client = MlflowClient(f"sqlite:///{run.parent}/store/mlflow.db")
    (found,) = client.search_runs([client.get_experiment_by_name("headscope").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["model.d_model"] == "32"
    assert found.data.params["position"] == "sinusoidal"
    for metric, wanted in (
        *(("train/lr", LOGGED), ("train/loss", LOGGED), ("val/loss", VALIDATED), ("final/val_loss", [40])),
    ):
        assert [m.step for m in client.get_metric_history(found.info.run_id, metric)] == wanted, metric
    pictures = [a.path for a in client.list_artifacts(found.info.run_id, "pictures/attention")]
    assert pictures == [f"pictures/attention/layer_0_{step:06}.png" for step in DRAWN]
    texts = {a.path for a in client.list_artifacts(found.info.run_id, "texts")}
    heads = {f"texts/heads_{step:06}.txt" for step in (0, *VALIDATED)}
    assert heads < texts
    assert len(texts - heads) == len(VALIDATED) + 2


def test_neither_loggers_nor_the_kill_change_a_weight(run, tmp_path):
    done = shell(*TINY, "trainer.max_steps=40", "logger=none", "callbacks=none", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    one, two = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for f in (run, tmp_path))
    assert all(torch.equal(one[name], two[name]) for name in one | two)


def test_only_one_of_two_processes_logs(tmp_path):
    folder = tmp_path / "run"
    two = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_steps=20")
    done = shell(*TINY, *two, *all_loggers(folder))
    assert done.returncode == 0, done.stderr
    assert steps(folder, "train/lr") == [5, 10, 15, 20]
    assert [int(row["trainer/global_step"]) for row in rows(folder) if "train/lr" in row] == [5, 10, 15, 20]
    assert len(list(folder.glob("events*"))) == len(list(folder.glob("wandb/offline-run-*"))) == 1
    client = MlflowClient(f"sqlite:///{tmp_path}/store/mlflow.db")
    (found,) = client.search_runs([client.get_experiment_by_name("headscope").experiment_id])
    assert [m.step for m in client.get_metric_history(found.info.run_id, "train/lr")] == [5, 10, 15, 20]


def test_another_logger_of_lightning_gets_the_scalars(tmp_path):
    other = json.dumps({"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": str(tmp_path / "other")})
    other = re.sub(r'"(\w+)":', r"\1:", other)
    done = shell(*TINY, "trainer.max_steps=20", "logger=none", f"+logger.other={other}", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "other").rglob("metrics.csv")
    assert "train/lr" in written.read_text()
