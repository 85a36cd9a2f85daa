"""Our plugins for Hydra: a launcher, sweepers, a callback and a search path.

Hydra imports this file at every start, so it must not import anything slow.
"""

import logging
import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from headscope.sweep.pool import Pool


class Processes(Launcher):
    """Runs each job in its own process; see `headscope.sweep.pool.Pool` for the arguments."""

    def __init__(self, n_jobs: int | None = None, gpus_per_job: int = 1) -> None:
        self.n_jobs, self.gpus_per_job = n_jobs, gpus_per_job

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from headscope.config.context import context
        from headscope.sweep.grid_check import refuse_ignored

        self.folder, self.context = Path(config.hydra.sweep.dir), context(config.hydra)
        refuse_ignored(config.hydra)

    def pool(self) -> "Pool":
        """Returns the pool that runs the jobs; raises the errors of `Pool`."""
        from headscope.sweep.pool import Pool

        return Pool(self.folder, self.n_jobs, self.gpus_per_job, self.context)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from headscope.sweep.launcher import launch

        return launch(self.folder, job_overrides, self.pool(), initial_job_idx)


class OurSweeper(Sweeper):
    """Base class of our sweepers, which work with any launcher.

    `params` are the overrides in a file from `conf/sweep`; overrides that the user types replace them.
    """

    def __init__(self, params: dict[str, Any] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        from headscope.sweep.grid_check import refuse_ignored

        refuse_ignored(config.hydra)
        self.config, self.loader, self.folder = config, hydra_context.config_loader, Path(config.hydra.sweep.dir)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def check(self, jobs: Sequence[Sequence[str]]) -> None:
        """Builds the jobs without data, to find mistakes early; see `headscope.sweep.grid_check.check`."""
        from headscope.sweep.grid_check import check

        assert self.config is not None
        check(jobs, self.config, self.loader)

    def runner(self) -> "Pool | Launcher":
        """Returns our pool if `hydra/launcher=processes`, else the other launcher."""
        return self.launcher.pool() if isinstance(self.launcher, Processes) else self.launcher


class Grid(OurSweeper):
    """Runs every combination of the values."""

    def sweep(self, arguments: list[str]) -> Any:
        from headscope.sweep.launcher import combinations, launch

        jobs = combinations(self.params, arguments, self.loader)
        self.check(jobs)
        return [launch(self.folder, jobs, self.runner())]


class Tuned(OurSweeper):
    """Compares combinations with new seeds, each at its own best value of one key; see `tune_and_compare`.

    Args:
        tune: the key to tune, which must have several values.
        tuning_seed: the seed of the trials, which must differ from the seeds of the comparison.
    """

    def __init__(self, tune: str, tuning_seed: int, params: dict[str, Any] | None = None) -> None:
        super().__init__(params)
        self.tune, self.tuning_seed = tune, tuning_seed

    def sweep(self, arguments: list[str]) -> Any:
        from headscope.sweep.launcher import tune_and_compare

        return [tune_and_compare(self, arguments, self.runner())]


class Search(OurSweeper):
    """Chooses the values of each trial from the losses of earlier trials; see `headscope.sweep.search`.

    Args:
        n_trials: the number of combinations to train.
        seed: the seed of the random choices.
        warmup_steps: the number of steps before a trial can be pruned.
        batch_size: the number of trials that a launcher other than ours runs together.
    """

    def __init__(
        self, n_trials: int, seed: int, warmup_steps: int, batch_size: int, params: dict[str, Any] | None = None
    ) -> None:
        super().__init__(params)
        self.n_trials, self.seed, self.warmup_steps, self.batch_size = n_trials, seed, warmup_steps, batch_size

    def sweep(self, arguments: list[str]) -> Any:
        try:
            from headscope.sweep.search import search
        except (ImportError, AttributeError) as e:
            from headscope.errors import UserError
            from headscope.installed import extra

            raise UserError(f"a search needs optuna, in the version that this installs: {extra('search')}") from e
        search(self, arguments, self.runner())


class PluginConfFolders(SearchPathPlugin):
    """Adds the `conf/` of each Headscope plugin to Hydra's search path, but only in our own commands."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from headscope.installed import CONF
        from headscope.plugins import conf_folders

        places = [Path(e.path.removeprefix("file://")) for e in search_path.get_path() if e.provider == "main"]
        if any(place.resolve() == CONF.resolve() for place in places):
            for folder in conf_folders():
                search_path.append("plugin", str(folder))


class Record(Callback):
    """Records the folder of the sweep in this process, and the error of a job that failed.

    Hydra turns exceptions in a callback into warnings, so this class must not check anything.

    Args:
        resume: the folder of the run or sweep to resume, from `resume=DIR`.
    """

    def __init__(self, resume: str | None = None) -> None:
        self.resume = resume

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Records the sweep's folder, into which `headscope.cli.command` writes the report at the end."""
        from headscope.sweep.jobs import resumed, sweep_folders

        sweep_folders.append(Path(config.hydra.sweep.dir))
        resumed.extend([self.resume] if self.resume else [])

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Writes the traceback of an error to `train.log`, and in a sweep also the message to the job's `job.log`."""
        if job_return.status != JobStatus.FAILED or os.environ.get("LOCAL_RANK", "0") != "0":
            return
        from headscope.run.folder import RunFolder
        from headscope.run.processes import outcome
        from headscope.sweep.jobs import append_to_log

        try:
            job_return.return_value  # noqa: B018, raises the exception of the job
        except Exception as e:
            code, message = outcome(e) or (1, "")
            if code != 2:
                logging.getLogger(__name__).error("the run failed", exc_info=e)
            if config.hydra.mode == RunMode.MULTIRUN:
                run = RunFolder(config.hydra.runtime.output_dir)
                if not run.started:
                    run.record({}, list(config.hydra.overrides.task))  # so that the report lists the job
                append_to_log(run, "\n" + (f"error: {message}" if message else traceback.format_exc()))
