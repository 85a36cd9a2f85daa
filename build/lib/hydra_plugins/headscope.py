"""Where Hydra finds our launcher, sweepers and callback. It reads this file at every start: import nothing heavy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Processes(Launcher):
    """Each job in a process of its own; see `headscope.sweep.launcher`.

    Args:
        n_jobs: at the same time; None is one, or as many as the GPUs allow.
        gpus_per_job: on a machine with GPUs.
    """

    def __init__(self, n_jobs: int | None = None, gpus_per_job: int = 1) -> None:
        self.n_jobs, self.gpus_per_job = n_jobs, gpus_per_job

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.folder = Path(config.hydra.sweep.dir)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs jobs. The folder's manifest numbers them on from those before, as `initial_job_idx` does."""
        from headscope.sweep.launcher import launch

        return launch(self.folder, job_overrides, self.n_jobs, self.gpus_per_job)


class OurSweeper(Sweeper):
    """What both of our sweepers share.

    Args:
        params: overrides that a file in `conf/sweep` gives; typed ones replace them.
    """

    def __init__(self, params: dict[str, Any] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context, self.folder = config, hydra_context, Path(config.hydra.sweep.dir)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )


class Grid(OurSweeper):
    """Every combination of the values given, all composed before the first job starts."""

    def sweep(self, arguments: list[str]) -> Any:
        from headscope.sweep.launcher import combinations, numbered

        assert self.hydra_context is not None
        jobs = combinations(self.params, arguments, self.hydra_context.config_loader)
        self.validate_batch_is_legal(jobs)
        if isinstance(self.launcher, Processes):
            return [self.launcher.launch(jobs, 0)]
        return [numbered(self.folder, jobs, lambda: self.launcher.launch(jobs, 0))]


class Search(OurSweeper):
    """Values chosen one after the other, by the losses of those before; see `headscope.sweep.search`.

    Args:
        n_trials: how many combinations to train.
        seed: of the choices.
        warmup_steps: that every trial is trained before it can be pruned.
        batch_size: trials launched together by a launcher other than ours, which fills its slots one by one.
        params: overrides that a file in `conf/sweep` gives; typed ones replace them.
    """

    def __init__(
        self, n_trials: int, seed: int, warmup_steps: int, batch_size: int = 1, params: dict[str, Any] | None = None
    ) -> None:
        super().__init__(params)
        self.n_trials, self.seed, self.warmup_steps, self.batch_size = n_trials, seed, warmup_steps, batch_size

    def sweep(self, arguments: list[str]) -> Any:
        from headscope.sweep.launcher import parsed
        from headscope.sweep.search import search

        assert self.hydra_context is not None
        ours = isinstance(self.launcher, Processes)
        plan = search(
            self.folder,
            parsed(self.params, arguments, self.hydra_context.config_loader),
            n_trials=self.n_trials,
            seed=self.seed,
            warmup_steps=self.warmup_steps,
            numbered=not ours,
            compose=self.validate_batch_is_legal,
        )
        if isinstance(self.launcher, Processes):
            plan.run_in_pool(self.launcher.n_jobs, self.launcher.gpus_per_job)
        else:
            plan.run_in_batches(self.batch_size, self.launcher.launch)


class SweepRecord(Callback):
    """What the report needs of sweeps whose sweeper or launcher is not ours.

    Hydra turns an exception in a callback into a warning, so nothing can be refused here.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remembers the folder, so that the report is written when the sweep ends."""
        from headscope.sweep.jobs import begun

        if not str(config.hydra.sweeper._target_).startswith("hydra_plugins.headscope."):
            begun.append(Path(config.hydra.sweep.dir))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Keeps the reason of a job that failed in a process that writes no log of its own."""
        if str(config.hydra.mode) != "RunMode.MULTIRUN" or job_return.status != JobStatus.FAILED:
            return
        from headscope.sweep.launcher import record_failure

        record_failure(Path(config.hydra.runtime.output_dir), job_return)
