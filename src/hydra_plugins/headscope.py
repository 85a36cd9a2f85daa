"""Where Hydra finds our launcher and sweepers. It reads this file at every start, so nothing heavy is imported."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Processes(Launcher):
    """Each job in a process of its own; see `headscope.sweep.launcher`.

    Args:
        n_jobs: at once; None for one, or where there are GPUs as many as they allow.
        gpus_per_job: of a machine that has them.
    """

    def __init__(self, n_jobs: int | None = None, gpus_per_job: int = 1) -> None:
        self.n_jobs, self.gpus_per_job = n_jobs, gpus_per_job

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.folder = str(config.hydra.sweep.dir)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from headscope.sweep.launcher import launch

        launch(self.folder, job_overrides, self.n_jobs, self.gpus_per_job)
        return []


class Grid(Sweeper):
    """Every combination of the values given, all of them composed before the first job starts.

    Args:
        params: overrides that a file gives; those typed come on top.
    """

    def __init__(self, params: dict[str, Any] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from headscope.sweep.launcher import by_another, combinations

        assert self.hydra_context is not None
        assert self.launcher is not None
        jobs = combinations(self.params, arguments, self.hydra_context.config_loader)
        self.validate_batch_is_legal(jobs)
        launcher = self.launcher
        if isinstance(launcher, Processes):
            return launcher.launch(jobs, 0)
        assert self.config is not None
        return by_another(self.config.hydra.sweep.dir, jobs, lambda: launcher.launch(jobs, 0))


class Search(Sweeper):
    """Values chosen one after the other, by what those before gave; see `headscope.sweep.search`.

    Args:
        n_trials: how many.
        seed: of the choices.
        warmup_steps: of training that every trial is given before it can be cut short.
        params: overrides that a file gives; those typed come on top.
    """

    def __init__(self, n_trials: int, seed: int, warmup_steps: int, params: dict[str, Any] | None = None) -> None:
        self.n_trials, self.seed, self.warmup_steps, self.params = n_trials, seed, warmup_steps, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context

    def sweep(self, arguments: list[str]) -> Any:
        from headscope.sweep.search import search

        assert self.config is not None
        launcher = self.config.hydra.launcher
        return search(self, arguments, str(self.config.hydra.sweep.dir), launcher.n_jobs, launcher.gpus_per_job)
