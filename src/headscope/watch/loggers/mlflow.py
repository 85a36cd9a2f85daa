"""The logger for MLflow, which is an optional dependency."""

import os
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from filelock import FileLock
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from headscope.errors import UserError
from headscope.watch.loggers.tracker import Tracker


class MLflow(Tracker, MLFlowLogger):
    """Sends scalars to MLflow as metrics, the config as params, and pictures and texts as artifacts.

    The MLflow run belongs to `experiment` and is named after the run's folder. `store` is the URI of a server or a
    database, or a folder for an SQLite database and artifacts. None means $MLFLOW_TRACKING_URI if it is set, otherwise
    `outputs/mlruns`. Raises UserError if the store cannot be used.
    """

    def __init__(self, folder: str, experiment: str, store: str | None = None) -> None:
        store = store or os.environ.get("MLFLOW_TRACKING_URI") or "outputs/mlruns"
        is_uri = len(urlsplit(store).scheme) > 1  # a scheme of one letter is a Windows drive
        local = None if is_uri else Path(store).resolve()
        uri = f"sqlite:///{local.as_posix()}/mlflow.db" if local else store
        path = Path(folder)
        create_experiment(experiment, uri, local)
        super().__init__(path / "mlflow_run.txt", experiment_name=experiment, run_name=path.name, tracking_uri=uri)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `MlflowClient`. The first access creates the run; raises UserError if the store cannot be reached."""
        with one_line_errors():
            client = super().experiment
        self.keep_id(str(self._run_id))
        return client

    def continue_as(self, run_id: str) -> None:
        self._run_id = run_id
        self.experiment.update_run(run_id, status="RUNNING")

    def send(self, row: dict[str, Any], step: int) -> None:
        MLFlowLogger.log_metrics(self, row, step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Sends only params that MLflow does not have yet, because it rejects changed params when a run is resumed."""
        known = self.experiment.get_run(self.run_id).data.params
        allowed = {re.sub(r"[^\w./: -]", "_", key): value for key, value in dict(params).items()}
        super().log_hyperparams({key: value for key, value in allowed.items() if key not in known})

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        self.experiment.log_image(self.run_id, rgb, artifact_file=f"pictures/{tag}_{step:06}.png")

    def record_text(self, tag: str, text: str, step: int) -> None:
        self.experiment.log_text(self.run_id, text, artifact_file=f"texts/{tag}_{step:06}.txt")

    def record_end(self, choices: Mapping[str, int | float | str], metrics: Mapping[str, float], step: int) -> None:
        MLFlowLogger.log_metrics(self, metrics, step)

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        self.save()
        super().finalize(status)


def create_experiment(name: str, uri: str, folder: Path | None) -> None:
    """Creates an experiment if it does not exist, and the folder of a local store. Raises UserError if this fails.

    A lock prevents the jobs of a sweep from creating the database at the same time, because MLflow would then fail.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock") if folder else nullcontext(), one_line_errors():
        client = MlflowClient(uri)
        if client.get_experiment_by_name(name) is None:
            try:
                client.create_experiment(name, (folder / "artifacts").as_uri() if folder else None)
            except MlflowException:
                if client.get_experiment_by_name(name) is None:  # otherwise another job has just created it
                    raise


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Converts an error from MLflow to a UserError with the first line of its message."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as e:
        reason = str(e).strip().splitlines()[0].rstrip(".")
        raise UserError(f"MLflow: {reason}; choose another logger.mlflow.store") from e
