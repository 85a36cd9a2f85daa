"""A search: Optuna chooses the values of each trial from the losses of earlier trials, and prunes unpromising trials.

Optuna (Akiba et al. 2019) is used through its ask-and-tell interface. Its state is not stored; a stopped search is
rebuilt from the manifest and the folders of the jobs. A job is identified by its values. If Optuna chooses the same
values again, no new run is trained, and Optuna receives the known loss.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.plugins.launcher import Launcher
from optuna.trial import Trial, TrialState, create_trial

from headscope.config.overrides import split
from headscope.errors import UserError
from headscope.files import write_json
from headscope.run.folder import Status
from headscope.run.plausible import why_implausible
from headscope.sweep.continuing import split_by_progress
from headscope.sweep.jobs import Job, Manifest, claim_folder, folder_name
from headscope.sweep.launcher import parse_overrides, run_plan, typed_command
from headscope.sweep.pool import Plan, Pool, check_integer
from headscope.sweep.space import all_values, corners, distribution, size

if TYPE_CHECKING:
    from hydra_plugins.headscope import Search

STARTUP = 4  #: number of trials with random values; no trial is pruned before this many have completed
MAX_REPEATS = 100  #: number of successive choices without a new combination after which a search ends


def search(sweeper: "Search", typed: list[str], runner: Pool | Launcher) -> optuna.Study:
    """Runs a search, or continues a stopped search, and returns Optuna's study.

    The space consists of the overrides with several values or an interval; all others apply to every trial. Raises
    UserError if the space or an option of the search is invalid, or if another process uses the folder.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for key, least in (("n_trials", 1), ("warmup_steps", 0), ("batch_size", 1)):
        check_integer(f"hydra.sweeper.{key}", getattr(sweeper, key), least)
    overrides = parse_overrides(sweeper.params, typed, sweeper.loader)
    space: dict[str, Any] = {o.get_key_element(): distribution(o) for o in overrides if o.is_sweep_override()}
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    if not space:
        raise UserError("a search needs at least one key with several values: optimizer.lr='interval(1e-4, 1e-2)'")
    sweeper.check([[*fixed, *(f"{k}={v}" for k, v in zip(space, values, strict=True))] for values in corners(space)])
    folder = sweeper.folder
    claim_folder(folder)
    # With the same seed, a resumed search would repeat its first choices.
    seed = sweeper.seed + len(Manifest.so_far(folder).jobs)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=sweeper.warmup_steps),
    )
    plan = SearchPlan(folder, study, space, fixed, sweeper.n_trials)
    run_plan(plan, runner, folder, sweeper.batch_size)
    if len(plan.jobs) < sweeper.n_trials:
        tried = f"all {len(plan.jobs)} combinations have been tried"
        none = f"Optuna chose no new combination {MAX_REPEATS} times after {len(plan.jobs)} jobs"
        print(f"the search is over: {tried if math.isfinite(size(space)) else none}")
    return study


def _result(status: Status) -> dict[str, Any]:
    """Returns the result of a job for Optuna. An implausible loss and an interrupted job count as failed."""
    if status.state != "completed" or status.val_loss is None or why_implausible(status.summary):
        return {"state": TrialState.PRUNED if status.state == "pruned" else TrialState.FAIL, "values": None}
    return {"state": TrialState.COMPLETE, "values": [status.val_loss]}


class SearchPlan(Plan):
    """Supplies jobs with values that Optuna chooses; a stopped search continues from the jobs in its folder.

    `space` contains Optuna's distributions by key; all jobs share the overrides `fixed`.
    """

    def __init__(
        self, folder: Path, study: optuna.Study, space: dict[str, Any], fixed: list[str], n_trials: int
    ) -> None:
        super().__init__()
        self.folder, self.study, self.space, self.fixed = folder, study, space, fixed
        self.total = int(min(n_trials, size(space)))
        self.jobs: dict[tuple[str, ...], Job] = {}  # jobs by their values
        self.trials: dict[str, Trial] = {}  # trials of the running jobs, by the job's name
        self.extended: set[str] = set()  # names of completed jobs that are trained further, which are never pruned
        self._add_earlier(Manifest.so_far(folder).jobs)
        self._save()

    def _add_earlier(self, earlier: Sequence[Job]) -> None:
        """Adds the jobs of a stopped or completed search. Optuna supplies those that run again first, then new ones."""
        params = {job.name: self._params(job) for job in earlier}
        named = [self._job(name, values) for name, values in params.items()]
        jobs, left = split_by_progress(named, earlier, self.folder, adds_jobs=len(named) < self.total)
        self.done = [job for job in jobs if job not in left]
        for job in jobs:
            status, is_left = job.run(self.folder).status(), job in left
            if is_left and status.state == "completed":
                self.extended.add(job.name)
            trial = create_trial(
                **({"state": TrialState.WAITING} if is_left else _result(status)),
                params=params[job.name],
                distributions=self.space,
                intermediate_values={int(v["step"]): v["val_loss"] for v in status.history},
                user_attrs={"job": job.name} if is_left else {},
            )
            self.study.add_trial(trial)
            self.jobs[self._values(params[job.name])] = job

    def _params(self, job: Job) -> dict[str, Any]:
        """Returns the values of an earlier job in the space; raises `UserError` if they are not in it."""
        try:
            texts = {key: job.values[split(f"{key}=")[0]] for key in self.space}
            params = {k: type(d.low)(texts[k]) if hasattr(d, "low") else texts[k] for k, d in self.space.items()}
            create_trial(params=params, distributions=self.space, state=TrialState.WAITING)
        except (KeyError, ValueError) as e:
            raise UserError(f"the search in {self.folder} has a different set of values; use another folder") from e
        return params

    def _values(self, params: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(params.get(key)) for key in self.space)

    def _job(self, name: str, params: dict[str, Any]) -> Job:
        return Job(name, (*self.fixed, *(f"{key}={params[key]}" for key in self.space)))

    def _save(self) -> None:
        Manifest(typed_command(), tuple(self.jobs.values()), tuple(self.space)).write(self.folder)

    def next(self) -> Job | None:
        """Returns the next job, or None if all trials have started or if Optuna finds no new combination."""
        for _ in range(MAX_REPEATS):
            waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            if not waiting and len(self.jobs) >= self.total:
                return None
            trial = self.study.ask(self.space)
            values = self._values(trial.params)
            is_new = values not in self.jobs
            if is_new:
                name = folder_name(len(self.jobs), dict(zip(self.space, values, strict=True)))
                self.jobs[values] = self._job(name, trial.params)
                self._save()
            job = self.jobs[values]
            if is_new or "job" in trial.user_attrs:
                self.trials[job.name] = trial
                return job
            # Optuna has repeated a combination, as it does in a small space.
            self.study.tell(trial, **_result(job.run(self.folder).status()))
            combinations = itertools.product(*map(all_values, self.space.values()))
            if untried := next((c for c in combinations if tuple(map(str, c)) not in self.jobs), None):
                self.study.enqueue_trial(dict(zip(self.space, untried, strict=True)))  # becomes the next trial
        return None

    def should_prune(self, job: Job, status: Status) -> bool:
        trial = self.trials[job.name]
        known = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        new = [validation for validation in status.history if validation["step"] not in known]
        for validation in new:
            trial.report(validation["val_loss"], int(validation["step"]))
        is_last = status.steps[0] >= status.steps[1]
        if not new or is_last or job.name in self.extended or not trial.should_prune():
            return False
        write_json(job.run(self.folder).pruned_file, new[-1])
        return True

    def record_end(self, job: Job, status: Status) -> None:
        self.study.tell(self.trials.pop(job.name), **_result(status))
