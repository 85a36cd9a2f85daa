"""Where Hydra finds our launcher, sweepers, callback and search path.

It reads this file at every start: import nothing heavy.
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
    """Each job in a process of its own; see `headscope.sweep.pool`.

    Args:
        n_jobs: at the same time; None is one, or as many as the GPUs allow.
        gpus_per_job: on a machine with GPUs.
    """

    def __init__(self, n_jobs: int | None = None, gpus_per_job: int = 1) -> None:
        self.n_jobs, self.gpus_per_job = n_jobs, gpus_per_job

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.folder = Path(config.hydra.sweep.dir)

    def pool(self) -> "Pool":
        """What runs the jobs.

        Raises:
            UserError: a number is out of range.
        """
        from headscope.sweep.pool import Pool

        return Pool(self.folder, self.n_jobs, self.gpus_per_job)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from headscope.sweep.launcher import launch

        return launch(self.folder, job_overrides, self.pool(), initial_job_idx)


class OurSweeper(Sweeper):
    """What our sweepers share: they work with any launcher, and prune in our pool.

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

    def check(self, jobs: Sequence[Sequence[str]]) -> None:
        """Tries jobs, without data, before any of them starts; see `headscope.sweep.grid_check.check`."""
        from headscope.sweep.grid_check import check

        assert self.hydra_context is not None
        assert self.config is not None
        check(jobs, self.config, self.hydra_context.config_loader)

    def runner(self) -> "Pool | Launcher":
        """Our pool, or a launcher that is not ours."""
        return self.launcher.pool() if isinstance(self.launcher, Processes) else self.launcher


class Grid(OurSweeper):
    """Every combination of the values given."""

    def sweep(self, arguments: list[str]) -> Any:
        from headscope.sweep.launcher import combinations, launch

        assert self.hydra_context is not None
        jobs = combinations(self.params, arguments, self.hydra_context.config_loader)
        self.check(jobs)
        return [launch(self.folder, jobs, self.runner())]


class Tuned(OurSweeper):
    """Each combination with its own best value of one key, then with new seeds; see `headscope.sweep.tuned`.

    Args:
        tune: the key, one of those with several values.
        tuning_seed: of the trials; none of the seeds that are compared.
        params: overrides that a file in `conf/sweep` gives; typed ones replace them.
    """

    def __init__(self, tune: str, tuning_seed: int, params: dict[str, Any] | None = None) -> None:
        super().__init__(params)
        self.tune, self.tuning_seed = tune, tuning_seed

    def sweep(self, arguments: list[str]) -> Any:
        from headscope.sweep.tuned import tuned

        return [tuned(self, arguments, self.runner())]


class Search(OurSweeper):
    """Values chosen one after the other, by the losses of those before; see `headscope.sweep.search`.

    Args:
        n_trials: how many combinations to train.
        seed: of the choices.
        warmup_steps: that every trial is trained before it can be pruned.
        batch_size: trials that a launcher other than ours is given together.
        params: overrides that a file in `conf/sweep` gives; typed ones replace them.
    """

    def __init__(
        self, n_trials: int, seed: int, warmup_steps: int, batch_size: int, params: dict[str, Any] | None = None
    ) -> None:
        super().__init__(params)
        self.n_trials, self.seed, self.warmup_steps, self.batch_size = n_trials, seed, warmup_steps, batch_size

    def sweep(self, arguments: list[str]) -> Any:
        try:
            from headscope.sweep.search import search
        except ModuleNotFoundError as e:
            from headscope.errors import UserError
            from headscope.installed import extra

            raise UserError(f"a search needs {e.name}: {extra('search')}") from e
        search(self, arguments, self.runner())


class ConfOfPlugins(SearchPathPlugin):
    """Adds the `conf/` of each plugin to the search path of our own; another program's is left alone."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from headscope.installed import CONF
        from headscope.plugins import conf_folders

        places = [Path(e.path.removeprefix("file://")) for e in search_path.get_path() if e.provider == "main"]
        if any(place.resolve() == CONF.resolve() for place in places):
            for folder in conf_folders():
                search_path.append("plugin", str(folder))


class Record(Callback):
    """Remembers that this process runs a sweep, and writes down why a job failed.

    Hydra turns an exception in a callback into a warning, so nothing can be refused here.

    Args:
        resume: the folder of the run or sweep to resume, from `resume=DIR`.
    """

    def __init__(self, resume: str | None = None) -> None:
        self.resume = resume

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """For the report, which `headscope.cli.command` writes when the sweep ends, whatever ran it."""
        from headscope.sweep.jobs import begun, resumed

        begun.append(Path(config.hydra.sweep.dir))
        resumed.extend([self.resume] if self.resume else [])

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """The traceback goes into `train.log`; the message into the log of a job that another launcher runs."""
        if job_return.status != JobStatus.FAILED or os.environ.get("LOCAL_RANK", "0") != "0":
            return
        from headscope.run.folder import RunFolder
        from headscope.run.outcome import outcome
        from headscope.sweep.jobs import note

        try:
            job_return.return_value  # noqa: B018, raises what the job raised
        except Exception as e:
            code, message = outcome(e) or (1, "")
            if code != 2:
                logging.getLogger(__name__).error("the run failed", exc_info=e)
            if config.hydra.mode == RunMode.MULTIRUN:
                run = RunFolder(config.hydra.runtime.output_dir)
                if not run.started:
                    run.record({}, list(config.hydra.overrides.task))  # for the report
                note(run.path, "\n" + (f"error: {message}" if message else traceback.format_exc()))
