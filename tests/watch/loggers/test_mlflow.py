"""`logger=mlflow`: each run has one run in MLflow."""

import shutil

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from headscope.errors import UserError
from headscope.watch.loggers.mlflow import MLflow
from tests.inside import train
from tests.watch.loggers.conftest import TINY

# MLflow 3 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all tests, because MLflow takes seconds to create a database."""
    return tmp_path_factory.mktemp("store")


def history(store, run_id, metric):
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    return [(m.step, m.value) for m in client.get_metric_history(run_id, metric)]


def test_a_resumed_run_continues_in_mlflow(tmp_path, store):
    before = MLflow(str(tmp_path / "a run"), "tests", str(store))
    (tmp_path / "a run").mkdir()
    before.log_hyperparams({"model.d_model": 32, "heads@x": None})
    before.log_metrics({"train/loss": 4.5}, 5)
    before.record_picture("attention/layer_0", np.zeros((2, 3, 3), np.uint8), 5)
    before.record_text("sample", "…\n", 5)
    before.finalize("failed")
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    assert client.get_run(before.run_id).info.status == "FAILED"

    after = MLflow(str(tmp_path / "a run"), "tests", str(store))
    after.resume_at(5)
    assert client.get_run(before.run_id).info.status == "RUNNING"
    after.log_hyperparams({"model.d_model": 64, "seed": 1})
    after.log_metrics({"train/loss": 4.25}, 10)
    after.save()
    after.record_end({}, {"final/val_loss": 4.0}, 10)
    after.finalize("success")
    assert after.run_id == before.run_id
    (run,) = client.search_runs([after.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "a run"
    assert run.data.params == {"model.d_model": "32", "heads_x": "None", "seed": "1"}
    assert history(store, run.info.run_id, "train/loss") == [(5, 4.5), (10, 4.25)]
    assert history(store, run.info.run_id, "final/val_loss") == [(10, 4.0)]
    artifacts = store / "artifacts" / run.info.run_id / "artifacts"
    assert (artifacts / "texts" / "sample_000005.txt").read_text() == "…\n"
    assert (artifacts / "pictures" / "attention" / "layer_0_000005.png").exists()


def test_a_run_that_the_store_no_longer_has_gives_a_message_of_one_line(tmp_path, store):
    (tmp_path / "mlflow_run.txt").write_text("0123456789abcdef\n5\n")
    with pytest.raises(UserError, match=r"0123456789abcdef.*; choose another logger\.mlflow\.store") as error:
        MLflow(str(tmp_path), "tests", str(store)).resume_at(5)
    assert "\n" not in str(error.value)


def test_an_experiment_that_another_job_creates_meanwhile_is_used(tmp_path, store, monkeypatch):
    """Both jobs find that the experiment does not exist, and the other job creates it first."""
    create = MlflowClient.create_experiment

    def too_late(self, *args, **kwargs):
        create(self, *args, **kwargs)
        raise MlflowException("it exists")

    monkeypatch.setattr(MlflowClient, "create_experiment", too_late)
    MLflow(str(tmp_path), "created meanwhile", str(store))


def test_the_option_store_takes_precedence_over_the_environment(tmp_path, store, monkeypatch):
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda *_: "exists")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    assert MLflow(str(tmp_path), "tests", str(store))._tracking_uri == f"sqlite:///{store}/mlflow.db"
    assert MLflow(str(tmp_path), "tests")._tracking_uri == "http://localhost:1"


def test_a_copied_run_gets_its_own_run_in_mlflow(tmp_path, store):
    options = ("callbacks=none", "logger=mlflow", f"logger.mlflow.store={store}", "logger.mlflow.experiment=copies")
    run, copy = tmp_path / "run", tmp_path / "copy"
    assert train(*TINY[1:], *options, "trainer.max_steps=10", f"hydra.run.dir={run}")[0] == 0
    shutil.copytree(run, copy)
    assert train(f"resume={copy}", "trainer.max_steps=20")[0] == 0
    assert train(f"resume={run}", "trainer.max_steps=15")[0] == 0
    found = {}
    for folder in (run, copy):
        run_id, *sent = (folder / "mlflow_run.txt").read_text().split()
        found[run_id] = [step for step, _ in history(store, run_id, "train/loss")]
        assert sent[-1] == str(found[run_id][-1])
    assert list(found.values()) == [[5, 10, 15], [15, 20]]
