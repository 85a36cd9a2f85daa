"""A search: Optuna chooses each trial's values from the losses of those before, and prunes unpromising trials.

Optuna (Akiba et al. 2019) is used through its ask-and-tell interface, with its storage in a file in the sweep's folder,
so a search that was stopped in any way can continue. A job is known by its values: a combination that was trained
before is not trained again, its loss is reported to Optuna once more.
"""

import itertools
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.run.folder import RunFolder, Status
from headscope.sweep.jobs import Job, known_jobs, named
from headscope.sweep.launcher import begin, own
from headscope.sweep.pool import Plan, Pool
from headscope.sweep.table import JobTable

if TYPE_CHECKING:
    import optuna

STORAGE = "search.log"
STARTUP = 4  #: trials chosen at random; none is pruned before so many have completed


def search(
    folder: Path,
    overrides: Sequence[Override],
    *,
    n_trials: int,
    seed: int,
    warmup_steps: int,
    numbered: bool,
    compose: Callable[[list[list[str]]], None],
) -> "SearchPlan":
    """Opens a search, or one that was stopped.

    Args:
        folder: of the sweep.
        overrides: those with several values or an interval make the space.
        n_trials: how many combinations to train.
        seed: of the choices.
        warmup_steps: that every trial is trained before it can be pruned.
        numbered: name the jobs by numbers alone, as other launchers do.
        compose: raises if a job's overrides do not compose.

    Raises:
        UserError: Optuna is not installed, a number is out of range, or there is nothing to choose from.
    """
    optuna = _optuna()
    for key, value, least in (("n_trials", n_trials, 1), ("warmup_steps", warmup_steps, 0)):
        if type(value) is not int or value < least:
            raise UserError(f"hydra.sweeper.{key}={value} must be an integer of at least {least}")
    space = {o.get_key_element(): distribution(o) for o in overrides if o.is_sweep_override()}
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    if not space:
        raise UserError("a search needs something to choose, such as optimizer.lr='tag(log, interval(1e-4, 1e-2))'")
    for number in (0, -1):  # the ends of the space: what does not compose is refused before anything is trained
        compose([[*fixed, *(f"{key}={_ends(d)[number]}" for key, d in space.items())]])
    own(folder)
    _mend(folder / STORAGE)
    study = optuna.create_study(
        study_name="search",
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / STORAGE))),
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=warmup_steps),
    )
    trials = study.get_trials(deepcopy=False)
    if any(t.distributions not in ({}, space) for t in trials):
        raise UserError(f"the search in {folder} chooses among other values; start a new one in another folder")
    # Another seed after each restart: the same one would choose again what was chosen before.
    sampler = optuna.samplers.TPESampler(seed=seed + len(trials), n_startup_trials=STARTUP, constant_liar=True)
    study.sampler = sampler
    return SearchPlan(folder, study, space, fixed, n_trials, numbered)


def distribution(override: Override) -> "optuna.distributions.BaseDistribution":
    """What may be chosen for an override: `a,b`, `range(1, 5)`, `interval(0, 1)`, and `tag(log, …)` of these.

    Raises:
        UserError: it is none of them.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

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


def _mend(storage: Path) -> None:
    """Removes a line that a full disk left half written; Optuna would not read past it."""
    if storage.exists() and (content := storage.read_bytes()) and not content.endswith(b"\n"):
        write_atomically(storage, content[: content.rfind(b"\n") + 1])


def _ends(d: Any) -> tuple[Any, Any]:
    return (d.choices[0], d.choices[-1]) if hasattr(d, "choices") else (d.low, d.high)


def _choices(d: Any) -> list[Any] | None:
    """All values of a distribution; None if it is continuous."""
    if hasattr(d, "choices"):
        return list(d.choices)
    return list(range(d.low, d.high + 1, d.step)) if isinstance(d.low, int) else None


class SearchPlan(Plan):
    """Trials as jobs. What a job did is in its own folder, which may be ahead of Optuna's file after a kill."""

    def __init__(
        self,
        folder: Path,
        study: "optuna.Study",
        space: dict[str, Any],
        fixed: list[str],
        n_trials: int,
        numbered: bool,
    ) -> None:
        self.folder, self.study, self.space, self.fixed = folder, study, space, fixed
        self.n_trials, self.numbered, self.exhausted = n_trials, numbered, False
        self.table = JobTable(n_trials, list(space))
        self.jobs = {self._values(job.values): job for job in known_jobs(folder)}
        self.trials: dict[str, optuna.Trial] = {}  # running, by the name of the job
        self.left: list[dict[str, Any]] = []  # parameters of trials that were running when the search was stopped
        for frozen in study.get_trials(deepcopy=False):
            if not frozen.state.is_finished():
                study.tell(frozen.number, state=_state("FAIL"))
                self.left += [frozen.params] if frozen.params.keys() == space.keys() else []
        for job in self.jobs.values():
            status = self._status(job)
            if status.state in ("completed", "pruned", "failed"):
                self.table.ended(job, status)
        self._save()

    def _values(self, values: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(values.get(key)) for key in self.space)

    def _status(self, job: Job) -> Status:
        return RunFolder(self.folder / job.name).status()

    def _save(self) -> None:
        begin(self.folder, tuple(self.jobs.values()))

    def next(self) -> Job | None:
        while self.left or (len(self.jobs) < self.n_trials and not self._is_exhausted()):
            if self.left:
                self.study.enqueue_trial(self.left.pop(0))
            trial = self.study.ask(self.space)
            job = self._job(trial.params)
            if job.name in self.trials:  # these values are being tried
                self.study.tell(trial, state=_state("FAIL"))
                self._enqueue_untried()
                continue
            self.trials[job.name] = trial
            status = self._status(job)
            if status.state not in ("completed", "pruned", "failed"):
                return job
            self.ended(job, status)  # trained before: Optuna is told its loss again
            self._enqueue_untried()
        return None

    def _untried(self) -> dict[str, Any] | None:
        """The first combination of a finite space that no job has; None if there is none, or if it is not finite."""
        choices = [_choices(d) for d in self.space.values()]
        untried = (c for c in itertools.product(*filter(None, choices)) if tuple(map(str, c)) not in self.jobs)
        found = None if None in choices else next(untried, None)
        return dict(zip(self.space, found, strict=True)) if found else None

    def _enqueue_untried(self) -> None:
        """Optuna repeats itself in a small space: makes its next trial one that is new."""
        if untried := self._untried():
            self.study.enqueue_trial(untried)

    def _is_exhausted(self) -> bool:
        """Whether every combination of a finite space has a job. Says so once."""
        finite = None not in [_choices(d) for d in self.space.values()]
        if finite and not self._untried() and not self.exhausted:
            print(f"the search ends: all {len(self.jobs)} combinations of its values were tried")
            self.exhausted = True
        return self.exhausted

    def _job(self, params: dict[str, Any]) -> Job:
        values = {key: str(params[key]) for key in self.space}
        key = self._values(values)
        if key not in self.jobs:
            name = str(len(self.jobs)) if self.numbered else named(len(self.jobs), values)
            self.jobs[key] = Job(name, (*self.fixed, *(f"{k}={v}" for k, v in values.items())))
            self._save()
        return self.jobs[key]

    def unpromising(self, job: Job, status: Status) -> bool:
        trial = self.trials[job.name]
        known = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        new = [h for h in status.history if h["step"] not in known]
        for h in new:
            trial.report(h["val_loss"], int(h["step"]))
        if not new or status.steps[0] >= status.steps[1] or not trial.should_prune():
            return False
        write_atomically(RunFolder(self.folder / job.name).pruned_file, json.dumps(new[-1]).encode())
        return True

    def ended(self, job: Job, status: Status) -> None:
        trial = self.trials.pop(job.name)
        if status.state == "completed":
            self.study.tell(trial, status.val_loss)
        elif status.state in ("pruned", "failed"):
            self.study.tell(trial, state=_state("PRUNED" if status.state == "pruned" else "FAIL"))

    def run_in_pool(self, n_jobs: int | None, gpus_per_job: int) -> None:
        """Trains trials as slots become free.

        Raises:
            Interrupted: a signal stopped the search.
        """
        Pool(self.folder, n_jobs, gpus_per_job).run(self, self.table)

    def run_in_batches(self, size: int, launch: Callable[[list[list[str]], int], Any]) -> None:
        """Trains trials by another launcher of Hydra, which cannot prune.

        Args:
            size: trials that are launched together.
            launch: runs jobs of the given overrides, in folders numbered from the given one.
        """
        with self.table:
            while True:
                # A job that was stopped goes back to its own number, alone; new ones have consecutive numbers.
                batch = list(itertools.islice(iter(self.next, None), 1 if self.left else size))
                if not batch:
                    return
                launch([list(job.overrides) for job in batch], int(batch[0].name))
                for job in batch:
                    status = self._status(job)
                    self.ended(job, status)
                    self.table.ended(job, status)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as e:
        raise UserError("a search needs Optuna: pip install --editable '.[search]'") from e
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
