"""A search: Optuna chooses the values of each trial from the losses of earlier trials, and prunes unpromising trials.

Optuna (Akiba et al. 2019) is used through its ask-and-tell interface. Its state is not stored; a stopped search is
rebuilt from the manifest and the folders of the jobs. A job is identified by its values. If Optuna chooses the same
values again, no new run is trained; Optuna receives the known loss.
"""

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.plugins.launcher import Launcher
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial, TrialState, create_trial

from headscope.errors import UserError
from headscope.files import write_json
from headscope.run.folder import Status
from headscope.sweep.jobs import Job, Manifest, claim_folder, folder_name
from headscope.sweep.launcher import parse_overrides, refuse_unused, run_plan, typed_command
from headscope.sweep.pool import Plan, Pool, check_integer

if TYPE_CHECKING:
    from hydra_plugins.headscope import Search

MAX_CORNERS = 32  #: maximum number of combinations to check before the first trial
STARTUP = 4  #: number of trials with random values; no trial is pruned before this many have completed
#: Final states of a job, and Optuna's names for them.
ENDED = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def search(sweeper: "Search", typed: list[str], runner: Pool | Launcher) -> optuna.Study:
    """Runs a search, or continues a stopped search, and returns Optuna's study.

    Overrides with several values or an interval form the search space; all other overrides apply to every trial.
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
    if plan.total < sweeper.n_trials:
        print(f"the search is over: all {plan.total} combinations have been tried")
    return study


def distribution(override: Override) -> BaseDistribution:
    """Converts `a,b`, `range(1, 5)`, `interval(0, 1)` or `tag(log, …)` of these; anything else raises `UserError`."""
    value: Any = override.value()
    log = "log" in getattr(value, "tags", ())
    try:
        if isinstance(value, IntervalSweep) and value.start is not None and value.end is not None:
            return FloatDistribution(float(value.start), float(value.end), log=log)
        if isinstance(value, RangeSweep) and isinstance(value.start, int) and isinstance(value.stop, int):
            step = int(value.step)
            return IntDistribution(value.start, value.start + (value.stop - 1 - value.start) // step * step, step=step)
    except (ValueError, ZeroDivisionError) as e:
        raise UserError(f"{override.input_line} cannot be searched: {' '.join(str(e).split())}") from e
    if isinstance(value, ChoiceSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    raise UserError(f"{override.input_line} cannot be searched; use a,b or range(…) or interval(…) or tag(log, …)")


def corners(space: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Returns the combinations of extreme values: all choices, and both ends of each range.

    If there are too many combinations, returns just enough to contain each extreme value at least once.
    """
    ends = [list(d.choices) if hasattr(d, "choices") else [d.low, d.high] for d in space.values()]
    if math.prod(map(len, ends)) <= MAX_CORNERS:
        return list(itertools.product(*ends))
    return [tuple(e[i % len(e)] for e in ends) for i in range(max(map(len, ends)))]


def _all_values(d: Any) -> list[Any]:
    """Returns all values of a distribution, or an empty list if it is continuous."""
    if hasattr(d, "choices"):
        return list(d.choices)
    return list(range(d.low, d.high + 1, d.step)) if isinstance(d.low, int) else []


def _result(status: Status) -> dict[str, Any]:
    """Returns the result of a job for Optuna. An interrupted job counts as failed; a resume gives it a new trial."""
    loss = status.val_loss if status.state == "completed" else None
    return {"state": ENDED.get(status.state, TrialState.FAIL), "values": None if loss is None else [loss]}


class SearchPlan(Plan):
    """Supplies jobs with values that Optuna chooses; a stopped search continues from the jobs in its folder.

    `space` contains Optuna's distributions by key; all jobs share the overrides `fixed`.
    """

    def __init__(
        self, folder: Path, study: optuna.Study, space: dict[str, Any], fixed: list[str], n_trials: int
    ) -> None:
        super().__init__()
        self.folder, self.study, self.space, self.fixed = folder, study, space, fixed
        self.total = int(min(n_trials, math.prod(len(_all_values(d)) or math.inf for d in space.values())))
        self.jobs: dict[tuple[str, ...], Job] = {}  # jobs by their values
        self.trials: dict[str, Trial] = {}  # trials of the running jobs, by the job's name
        for job in Manifest.so_far(folder).jobs:
            self._add_earlier(job)
        if len(self.done) >= max(len(self.jobs), self.total):
            refuse_unused(folder, fixed, self.done)
        self._save()

    def _add_earlier(self, job: Job) -> None:
        """Adds a job of the stopped search. Optuna will supply unfinished jobs first, then new ones."""
        status = job.run(self.folder).status()
        ended = status.state in ENDED
        try:
            values = ((key, job.values[key], d) for key, d in self.space.items())
            params = {key: type(d.low)(value) if hasattr(d, "low") else value for key, value, d in values}
            trial = create_trial(
                **(_result(status) if ended else {"state": TrialState.WAITING}),
                params=params,
                distributions=self.space,
                intermediate_values={int(v["step"]): v["val_loss"] for v in status.history},
                user_attrs={} if ended else {"job": job.name},
            )
        except (KeyError, ValueError) as e:
            raise UserError(f"the search in {self.folder} has a different set of values; use another folder") from e
        self.study.add_trial(trial)
        self.jobs[self._values(params)] = job if ended else self._job(job.name, params)
        self.done += [job] * ended

    def _values(self, params: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(params.get(key)) for key in self.space)

    def _job(self, name: str, params: dict[str, Any]) -> Job:
        return Job(name, (*self.fixed, *(f"{key}={params[key]}" for key in self.space)))

    def _save(self) -> None:
        Manifest(typed_command(), tuple(self.jobs.values()), tuple(self.space)).write(self.folder)

    def next(self) -> Job | None:
        while self.study.get_trials(states=(TrialState.WAITING,)) or len(self.jobs) < self.total:
            trial = self.study.ask(self.space)
            values = self._values(trial.params)
            if values in self.jobs and "job" not in trial.user_attrs:  # Optuna repeats combinations in a small space
                self.study.tell(trial, **_result(self.jobs[values].run(self.folder).status()))
                combinations = itertools.product(*(_all_values(d) for d in self.space.values()))
                if untried := next((c for c in combinations if tuple(map(str, c)) not in self.jobs), None):
                    self.study.enqueue_trial(dict(zip(self.space, untried, strict=True)))  # becomes the next trial
                continue
            if values not in self.jobs:
                name = folder_name(len(self.jobs), dict(zip(self.space, values, strict=True)))
                self.jobs[values] = self._job(name, trial.params)
                self._save()
            job = self.jobs[values]
            self.trials[job.name] = trial
            return job
        return None

    def should_prune(self, job: Job, status: Status) -> bool:
        trial = self.trials[job.name]
        known = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        new = [validation for validation in status.history if validation["step"] not in known]
        for validation in new:
            trial.report(validation["val_loss"], int(validation["step"]))
        if not new or status.steps[0] >= status.steps[1] or not trial.should_prune():
            return False
        write_json(job.run(self.folder).pruned_file, new[-1])
        return True

    def record_end(self, job: Job, status: Status) -> None:
        self.study.tell(self.trials.pop(job.name), **_result(status))
