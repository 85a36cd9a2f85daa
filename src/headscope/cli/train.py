"""The task of train.py: one run, from the config that Hydra composed."""

import time
from typing import cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from headscope.cli import closing, command
from headscope.config.composed import as_data
from headscope.run.execute import execute


def train(cfg: DictConfig) -> float | None:
    """Executes a run and logs its last lines.

    Returns:
        The validation loss in nats per token, which a sweeper minimises; None if nothing was validated.

    Raises:
        UserError, RunFailed, Interrupted: see `execute`.
    """
    hydra = HydraConfig.get()
    started = command.started if hydra.mode == RunMode.RUN else time.monotonic()  # a process may run many jobs
    summary = execute(as_data(cfg, hydra, started), closing.log_summary)
    return cast(float | None, summary["val_loss"])
