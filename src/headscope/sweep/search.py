"""A search: each trial's values are chosen by what those before gave, and trials that promise little are cut short.

Optuna chooses (Akiba et al. 2019), through its ask-and-tell interface; its storage is a file in the sweep's folder,
so that a search that was stopped in any way goes on.
"""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from headscope.errors import UserError
from headscope.files import write_atomically
from headscope.run.folder import RunFolder, Status
from headscope.sweep.jobs import Job, Manifest, known_jobs, named
from headscope.sweep.launcher import command, finish, parsed, ready
from headscope.sweep.pool import Plan, Pool
from headscope.sweep.table import Table

if TYPE_CHECKING:
    import optuna

STORAGE = "search.log"
STARTUP = 4  #: trials chosen at random, and none cut short before so many have completed


def search(sweeper: Any, typed: list[str], folder: str, n_jobs: int | None, gpus_per_job: int) -> None:
    """Runs a search, or goes on with it, and reports on it.

    Args:
        sweeper: `hydra_plugins.headscope.Search`, with its options.
        typed: overrides; those with several values or an interval make the space.
        folder: of the sweep.
        n_jobs: at once.
        gpus_per_job: of a machine that has them.

    Raises:
        UserError: Optuna is not installed, or there is nothing to search.
        JobsFailed: some did.
        Interrupted: told to stop.
    """
    optuna = _optuna()
    for key, least in (("n_trials", 1), ("warmup_steps", 0)):
        value = getattr(sweeper, key)
        if type(value) is not int or value < least:
            raise UserError(f"hydra.sweeper.{key}={value} is not a whole number of at least {least}; give one")
    overrides = parsed(sweeper.params, typed, sweeper.hydra_context.config_loader)
    space = {o.get_key_element(): distribution(o) for o in overrides if o.is_sweep_override()}
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    if not space:
        raise UserError("a search needs something to choose: optimizer.lr='tag(log, interval(1e-4, 1e-2))', say")
    for number in (0, -1):  # the ends of the space: what cannot be composed is refused before anything is run
        sweeper.validate_batch_is_legal([[*fixed, *(f"{key}={_ends(d)[number]}" for key, d in space.items())]])
    path = ready(Path(folder), n_jobs, gpus_per_job)
    path.mkdir(parents=True, exist_ok=True)
    _mend(path / STORAGE)
    backend = optuna.storages.journal.JournalFileBackend(str(path / STORAGE))
    study = optuna.create_study(
        study_name="search",
        storage=optuna.storages.JournalStorage(backend),
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=sweeper.warmup_steps),
    )
    if any(t.distributions not in ({}, space) for t in study.get_trials(deepcopy=False)):
        raise UserError(f"the search in {path} chooses among other values; start a new one in another folder")
    # A seed of its own after each restart: the same would choose again what was chosen.
    seed = sweeper.seed + len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)
    table = Table(sweeper.n_trials, list(space))
    plan = Trials(path, study, space, fixed, sweeper.n_trials, table)
    finish(path, lambda: Pool(path, n_jobs, gpus_per_job).run(plan, table))


def distribution(override: Override) -> "optuna.distributions.BaseDistribution":
    """What may be chosen for an override: `a,b`, `range(1, 5)`, `interval(0, 1)`, and `tag(log, …)` of these.

    Raises:
        UserError: none of them.
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
    """Cuts off a line that a full disk left half written; Optuna would never read on."""
    if storage.exists() and (content := storage.read_bytes()) and not content.endswith(b"\n"):
        write_atomically(storage, content[: content.rfind(b"\n") + 1])


def _ends(d: Any) -> tuple[Any, Any]:
    return (d.choices[0], d.choices[-1]) if hasattr(d, "choices") else (d.low, d.high)


class Trials(Plan):
    """Trials as jobs, numbered as Optuna numbers them.

    What a job did is in its own files, what was concluded in Optuna's, which is behind where this process was killed:
    a trial that Optuna thinks is running is looked at again.
    """

    def __init__(
        self, folder: Path, study: "optuna.Study", space: dict[str, Any], fixed: list[str], n_trials: int, table: Table
    ) -> None:
        self.folder, self.study, self.space, self.fixed = folder, study, space, fixed
        self.n_trials, self.table = n_trials, table
        self.names = {int(job.name.partition("-")[0]): job.name for job in known_jobs(folder)}
        self.jobs: list[Job] = []
        self.trials: dict[str, tuple[int, optuna.Trial]] = {}  # of each job: its number, and what Optuna knows of it
        self.heard: dict[str, int] = {}  # of each job: validations that were looked at
        self.left: list[Job] = []
        for frozen in study.get_trials(deepcopy=False):
            if frozen.params.keys() != space.keys():  # killed before all of its values were chosen
                if not frozen.state.is_finished():
                    study.tell(frozen.number, state=_states().FAIL)
                continue
            job = self._job(frozen.number, frozen.params)
            if frozen.state.is_finished():
                table.ended(job, RunFolder(folder / job.name).status())
            else:
                self.trials[job.name] = frozen.number, _trial(study, frozen)
                self.left.append(job)
        Manifest(command(), tuple(self.jobs)).write(folder)

    def _job(self, number: int, params: dict[str, Any]) -> Job:
        values = {key: str(params[key]) for key in self.space}
        name = self.names.setdefault(number, named(number, values))
        job = Job(name, (*self.fixed, *(f"{key}={value}" for key, value in values.items())))
        self.jobs.append(job)
        return job

    def next(self) -> Job | None:
        while self.left:
            job = self.left.pop(0)
            now = RunFolder(self.folder / job.name).status()
            if now.state not in ("completed", "pruned"):
                return job
            self.ended(job, now)
            self.table.ended(job, now)
        if len(self.study.get_trials(deepcopy=False)) >= self.n_trials:
            return None
        trial = self.study.ask(self.space)
        job = self._job(trial.number, trial.params)
        self.trials[job.name] = trial.number, trial
        Manifest(command(), tuple(self.jobs)).write(self.folder)
        return job

    def unpromising(self, job: Job, status: Status) -> bool:
        if len(status.history) == self.heard.get(job.name, 0):
            return False  # asked ten times a second; Optuna reads its file each time
        self.heard[job.name] = len(status.history)
        number, trial = self.trials[job.name]
        known = self.study.get_trials(deepcopy=False)[number].intermediate_values
        new = [h for h in status.history if h["step"] not in known]
        for h in new:
            trial.report(h["val_loss"], int(h["step"]))
        if not new or status.steps[0] >= status.steps[1] or not trial.should_prune():
            return False
        write_atomically(RunFolder(self.folder / job.name).pruned_file, json.dumps(new[-1]).encode())
        return True

    def ended(self, job: Job, status: Status) -> None:
        number, _ = self.trials[job.name]
        if status.state == "completed":
            self.study.tell(number, status.val_loss)
        elif status.state in ("pruned", "failed"):
            self.study.tell(number, state=_states().PRUNED if status.state == "pruned" else _states().FAIL)


def _states() -> Any:
    from optuna.trial import TrialState

    return TrialState


def _trial(study: "optuna.Study", frozen: Any) -> "optuna.Trial":
    """A trial that an earlier process asked for, as one that can be told of its losses."""
    from optuna import Trial

    return Trial(study, frozen._trial_id)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as e:
        raise UserError("a search needs Optuna: pip install --editable '.[search]'") from e
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
