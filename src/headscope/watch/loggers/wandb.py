"""The logger for Weights & Biases (wandb), which is an optional dependency."""

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from headscope.errors import UserError
from headscope.watch.loggers.tracker import Tracker


class Wandb(Tracker, WandbLogger):
    """Sends everything to wandb, or if `offline`, saves it for `wandb sync` in `wandb/` in the run's folder.

    The wandb run belongs to `project` and is named after the run's folder. wandb buffers its files, so a killed process
    loses the data of its last second.
    """

    def __init__(self, folder: str, project: str, offline: bool = False) -> None:
        path = Path(folder)
        super().__init__(path / "wandb_run.txt", name=path.name, save_dir=folder, project=project, offline=offline)
        self._wandb_init.pop("anonymous", None)  # Lightning passes this option, and wandb warns that it has no effect

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `wandb.Run`. The first access starts the wandb run, and raises UserError if the user is not logged in."""
        import wandb

        os.environ.setdefault("WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL", "1")  # in seconds; the default is 15
        try:
            run = super().experiment
        except wandb.Error as e:
            reason = str(e).splitlines()[0].rstrip(".")
            raise UserError(f"wandb: {reason}; or set logger.wandb.offline=true to save files here") from e
        self.keep_id(run.id)
        return run

    def continue_as(self, run_id: str) -> None:
        self._id = self._wandb_init["id"] = run_id

    def send(self, row: dict[str, Any], step: int) -> None:
        run = self.experiment
        run.log({"trainer/global_step": step}, step=step)  # sets the step that wandb puts in the names of pictures
        run.log(row, step=step, commit=True)

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        import wandb

        self.add({tag: wandb.Image(rgb)}, step)

    def record_text(self, tag: str, text: str, step: int) -> None:
        import wandb

        self.add({tag: wandb.Html(f"<pre>{escape(text)}</pre>", inject=False)}, step)

    def record_end(self, choices: Mapping[str, int | float | str], metrics: Mapping[str, float], step: int) -> None:
        self.experiment.summary.update(dict(metrics))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the run in wandb now; with Lightning alone, it would end with the process."""
        if self._experiment is not None:
            self.save()
            super().finalize(status)
            self._experiment.finish(exit_code=0 if status == "success" else 1)
