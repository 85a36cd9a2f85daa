"""A search: Optuna chooses each trial's values from the losses of those before, and prunes unpromising trials.

Optuna (Akiba et al. 2019) is used through its ask-and-tell interface. Nothing of it is stored: the manifest and the
jobs' folders say what was tried and what came of it, so a search that was stopped in any way goes on from them. A job
is known by its values: a combination that was trained before is not trained again, its loss is reported once more.
"""

import itertools
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.plugins.launcher import Launcher
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial, TrialState, create_trial

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.run.folder import RunFolder, Status
from headscope.sweep.jobs import Job, Manifest, known, named, own
from headscope.sweep.launcher import command, parsed, refuse_new, run
from headscope.sweep.pool import Plan, Pool

if TYPE_CHECKING:
    from hydra_plugins.headscope import Search

MOST_CORNERS = 32  #: combinations that are tried before the first trial
STARTUP = 4  #: trials chosen at random; none is pruned before so many have completed
#: States in which a job stays, and what Optuna calls them.
ENDED = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def search(sweeper: "Search", typed: list[str], runner: Pool | Launcher) -> optuna.Study:
    """Runs a search, or continues one that was stopped; returns what Optuna knows at its end.

    Of the overrides, those with several values or an interval make the space.

    Raises:
        UserError: a number is out of range, there is nothing to choose from, or no corner of the space can be built.
        Interrupted: a signal stopped the search.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for key, least in (("n_trials", 1), ("warmup_steps", 0), ("batch_size", 1)):
        value = getattr(sweeper, key)
        if type(value) is not int or value < least:
            raise UserError(f"hydra.sweeper.{key}={value} must be an integer of at least {least}")
    assert sweeper.hydra_context is not None
    overrides = parsed(sweeper.params, typed, sweeper.hydra_context.config_loader)
    space: dict[str, Any] = {o.get_key_element(): distribution(o) for o in overrides if o.is_sweep_override()}
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    if not space:
        raise UserError("a search needs something to choose, such as optimizer.lr='tag(log, interval(1e-4, 1e-2))'")
    sweeper.check([[*fixed, *(f"{k}={v}" for k, v in zip(space, values, strict=True))] for values in corners(space)])
    folder = sweeper.folder
    own(folder)
    # Another seed after each restart: the same one would choose again what was chosen before.
    seed = sweeper.seed + len(known(folder).jobs)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=sweeper.warmup_steps),
    )
    plan = SearchPlan(folder, study, space, fixed, sweeper.n_trials)
    run(plan, runner, folder, sweeper.batch_size)
    if plan.total < sweeper.n_trials:
        print(f"the search ends: all {plan.total} combinations of its values were tried")
    return study


def distribution(override: Override) -> BaseDistribution:
    """What may be chosen for an override: `a,b`, `range(1, 5)`, `interval(0, 1)`, and `tag(log, …)` of these.

    Raises:
        UserError: it is none of them.
    """
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
    raise UserError(f"{override.input_line} cannot be searched; give a,b or range(…) or interval(…) or tag(log, …)")


def corners(space: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Combinations that stand for a space: of every choice and both ends of every range.

    All of them if they are few; else enough for each of these values to be in one.
    """
    ends = [list(d.choices) if hasattr(d, "choices") else [d.low, d.high] for d in space.values()]
    if math.prod(map(len, ends)) <= MOST_CORNERS:
        return list(itertools.product(*ends))
    return [tuple(e[i % len(e)] for e in ends) for i in range(max(map(len, ends)))]


def _choices(d: Any) -> list[Any]:
    """All values of a distribution; none if it is continuous."""
    if hasattr(d, "choices"):
        return list(d.choices)
    return list(range(d.low, d.high + 1, d.step)) if isinstance(d.low, int) else []


def told(status: Status) -> dict[str, Any]:
    """What Optuna is told of how a job ended; one that was stopped is no trial, it becomes another when it goes on."""
    loss = status.val_loss if status.state == "completed" else None
    return {"state": ENDED.get(status.state, TrialState.FAIL), "values": None if loss is None else [loss]}


class SearchPlan(Plan):
    """Trials as jobs. What a job did is in its own folder.

    Args:
        space: what may be chosen, by key.
        fixed: overrides that all jobs share.
        n_trials: how many combinations to train.

    Raises:
        UserError: an earlier job has values outside the space, or the search has ended and overrides change nothing.
    """

    def __init__(
        self, folder: Path, study: optuna.Study, space: dict[str, Any], fixed: list[str], n_trials: int
    ) -> None:
        super().__init__()
        self.folder, self.study, self.space, self.fixed = folder, study, space, fixed
        self.total = int(min(n_trials, math.prod(len(_choices(d)) or math.inf for d in space.values())))
        self.tried: dict[tuple[str, ...], Job] = {}  # by their values
        self.trials: dict[str, Trial] = {}  # that are running, by the name of the job
        for job in known(folder).jobs:
            status = self.status(job)
            ended = status.state in ENDED
            try:
                params = {
                    k: type(d.low)(job.values[k]) if hasattr(d, "low") else job.values[k] for k, d in space.items()
                }
                trial = create_trial(  # one that has not ended is the next that Optuna gives
                    **(told(status) if ended else {"state": TrialState.WAITING}),
                    params=params,
                    distributions=space,
                    intermediate_values={int(v["step"]): v["val_loss"] for v in status.history},
                    user_attrs={} if ended else {"job": job.name},
                )
            except (KeyError, ValueError) as e:
                raise UserError(
                    f"the search in {folder} chooses among other values; start a new one in another folder"
                ) from e
            study.add_trial(trial)
            self.tried[self._values(params)] = job if ended else self._job(job.name, params)
            self.done += [job] * ended
        if len(self.done) >= max(len(self.tried), self.total):
            refuse_new(folder, fixed, self.done)
        self._save()

    def _values(self, params: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(params.get(key)) for key in self.space)

    def status(self, job: Job) -> Status:
        """How a job is doing, from its folder."""
        return RunFolder(self.folder / job.name).status()

    def _job(self, name: str, params: dict[str, Any]) -> Job:
        return Job(name, (*self.fixed, *(f"{key}={params[key]}" for key in self.space)))

    def _save(self) -> None:
        Manifest(command(), tuple(self.tried.values()), tuple(self.space)).write(self.folder)

    def next(self) -> Job | None:
        while self.study.get_trials(states=(TrialState.WAITING,)) or len(self.tried) < self.total:
            trial = self.study.ask(self.space)
            values = self._values(trial.params)
            if values in self.tried and "job" not in trial.user_attrs:  # Optuna repeats itself in a small space
                self.study.tell(trial, **told(self.status(self.tried[values])))
                combinations = itertools.product(*(_choices(d) for d in self.space.values()))
                if untried := next((c for c in combinations if tuple(map(str, c)) not in self.tried), None):
                    self.study.enqueue_trial(dict(zip(self.space, untried, strict=True)))  # comes next
                continue
            if values not in self.tried:
                name = named(len(self.tried), dict(zip(self.space, values, strict=True)))
                self.tried[values] = self._job(name, trial.params)
                self._save()
            job = self.tried[values]
            self.trials[job.name] = trial
            return job
        return None

    def unpromising(self, job: Job, status: Status) -> bool:
        trial = self.trials[job.name]
        heard = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        new = [validation for validation in status.history if validation["step"] not in heard]
        for validation in new:
            trial.report(validation["val_loss"], int(validation["step"]))
        if not new or status.steps[0] >= status.steps[1] or not trial.should_prune():
            return False
        write_atomically(RunFolder(self.folder / job.name).pruned_file, json.dumps(new[-1]).encode())
        return True

    def ended(self, job: Job, status: Status) -> None:
        self.study.tell(self.trials.pop(job.name), **told(status))
