"""Runs a grid of jobs: combines the overrides, names the jobs, records them, and runs the incomplete ones."""

import itertools
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from headscope.config.overrides import RESUME, quote, split
from headscope.errors import RunFailed, UserError
from headscope.run.folder import STARTED
from headscope.run.plausible import why_implausible
from headscope.sweep.continuing import split_by_progress
from headscope.sweep.jobs import Job, Manifest, append_to_log, claim_folder, folder_name, swept_keys
from headscope.sweep.pool import JobDisplay, Plan, Pool
from headscope.sweep.values import MAX_VALUES, distinct_values

if TYPE_CHECKING:
    from hydra_plugins.headscope import Tuned


def parse_overrides(params: dict[str, Any], typed: list[str], loader: ConfigLoader) -> list[Override]:
    """Returns the overrides in a file from `conf/sweep`, updated with the overrides that the user typed."""
    in_file = [f"{key}={value}" for key, value in params.items()]
    overrides = OverridesParser.create(loader).parse_overrides([*in_file, *typed])
    return list({override.get_key_element().lstrip("+~"): override for override in overrides}.values())


def combinations(params: dict[str, Any], typed: list[str], loader: ConfigLoader) -> list[list[str]]:
    """Returns the overrides of each job: every combination of the values; the last key varies fastest."""
    choices = []
    for override in parse_overrides(params, typed, loader):
        if not override.is_sweep_override():
            choices.append([str(override.input_line)])
        elif not override.is_discrete_sweep():
            raise UserError(f"{override.input_line}: only sweep=search accepts intervals; separate values with commas")
        else:
            choices.append([f"{override.get_key_element()}={v}" for v in distinct_values(override)])
    if any("task=validate" in choice for choice in choices):
        raise UserError("task=validate evaluates one checkpoint; leave out -m")
    if (jobs := math.prod(map(len, choices))) > MAX_VALUES:
        raise UserError(f"this sweep has {jobs:,} jobs, and at most {MAX_VALUES:,} are allowed; use fewer values")
    return [list(job) for job in itertools.product(*choices)]


def launch(
    folder: Path, overrides: Sequence[Sequence[str]], runner: Pool | Launcher, first: int = 0, trial: bool = False
) -> list[JobReturn]:
    """Runs the incomplete jobs of a grid; resumes those that were started before.

    New jobs are numbered from `first`. Raises `UserError` if the folder cannot be used or if overrides would have no
    effect, and `Interrupted` if a signal stopped the sweep.
    """
    launched, before = claim_folder(folder), Manifest.so_far(folder)
    manifest = named_jobs([Job("", tuple(o), trial) for o in overrides], before, folder, first, launched)
    jobs, left = split_by_progress(manifest.jobs, before.jobs, folder)
    # Earlier jobs stay in the manifest if this process launched them or if they have started.
    names = {job.name for job in jobs}
    others = [job for job in before.jobs if job.name not in names]
    kept = [job for job in others if job in launched or job.run(folder).status().state != "waiting"]
    replace(manifest, jobs=(*kept, *jobs)).write(folder)
    launched += jobs
    run_plan(Plan(left, [job for job in jobs if job not in left]), runner, folder)
    return [_job_return(folder, job) for job in jobs]


def tune_and_compare(sweeper: "Tuned", typed: list[str], runner: Pool | Launcher) -> list[JobReturn]:
    """Runs one trial per combination and value of the tuned key, then each combination's best value with every seed.

    The report does not count trials as samples, because a loss that was chosen as the lowest is biased downwards.
    Raises the errors of `launch`, and `RunFailed` if no trial completed with a plausible loss.
    """
    grid = combinations(sweeper.params, typed, sweeper.loader)
    trials, jobs = {}, []  # trials by (other overrides, value); jobs as (other overrides, value, all overrides)
    for job in grid:
        rest = tuple(o for o in job if split(o)[0] not in (sweeper.tune, "seed"))
        value = next((o for o in job if split(o)[0] == sweeper.tune), None)
        seed = next((o for o in job if split(o)[0] == "seed"), "seed=1")
        if value is None:
            raise UserError(f"hydra.sweeper.tune={sweeper.tune} has no values to choose from; add several")
        if seed == f"seed={sweeper.tuning_seed}":
            raise UserError(f"{seed} is the seed of the trials; use other seeds, or change hydra.sweeper.tuning_seed")
        trials[rest, value] = [*rest, value, f"seed={sweeper.tuning_seed}"]
        jobs.append((rest, value, [*rest, value, seed]))
    sweeper.check([*trials.values()])
    ended = zip(trials, launch(sweeper.folder, [*trials.values()], runner, trial=True), strict=True)
    completed = {key: done.return_value for key, done in ended if done.status == JobStatus.COMPLETED}
    losses = {key: loss for key, loss in completed.items() if math.isfinite(loss)}
    # `dict` keeps the last value of each combination, which has the lowest loss, because the losses fall.
    best = dict(sorted(losses, key=lambda key: losses[key], reverse=True))
    chosen = [job for rest, value, job in jobs if best.get(rest) == value]
    if not chosen:
        raise RunFailed("no trial completed with a plausible loss, so there is nothing to compare")
    return launch(sweeper.folder, chosen, runner, first=len(trials))


def named_jobs(
    jobs: Sequence[Job], before: Manifest, folder: Path, first: int = 0, launched: Sequence[Job] = ()
) -> Manifest:
    """Returns a manifest of jobs with names: the name of the same job in `before` if there is one, else a new name.

    Two jobs are the same if they have equal values for all keys that this sweep has ever swept. If an earlier job has
    no override for such a key, because it was not swept then, the value comes from its config. Jobs that this process
    `launched` in earlier batches are never the same as a job of this batch.
    """
    keys = tuple(dict.fromkeys([*before.keys, *swept_keys([*launched, *jobs])]))
    names = {}
    for job in before.jobs:
        if job.name not in {j.name for j in launched}:
            config = job.run(folder).config()
            names[tuple(job.values.get(key, config.get(key)) for key in keys)] = job.name
    taken = {int(n) for job in before.jobs if (n := job.name.partition("-")[0]).isdigit()}
    numbers = (n for n in itertools.count(first) if n not in taken)
    width = max(2, len(str(len(jobs) - 1)))
    named = []
    for job in jobs:
        name = names.get(tuple(job.values.get(key) for key in keys))
        values = {key: job.values[key] for key in keys if key in job.values}
        named.append(replace(job, name=name or folder_name(next(numbers), values, width)))
    return Manifest(typed_command(), tuple(named), keys)


def typed_command() -> tuple[str, ...]:
    """Returns the arguments of this process's script, except the sweep's folder."""
    return tuple(a for a in sys.argv[1:] if split(a)[0] not in ("hydra.sweep.dir", RESUME))


def run_plan(plan: Plan, runner: Pool | Launcher, folder: Path, size: int | None = None) -> None:
    """Runs the jobs of a plan in our pool, or with another launcher in batches of `size` (None: a single batch)."""
    with JobDisplay(plan.total, live=isinstance(runner, Pool)) as display:
        for job in plan.done:
            display.show_end(job, job.run(folder).status())
        if isinstance(runner, Pool):
            runner.run(plan, display)
        else:
            _run_batches(plan, display, runner, folder, size)


def _run_batches(plan: Plan, display: JobDisplay, runner: Launcher, folder: Path, size: int | None) -> None:
    """Runs the jobs of a plan with another launcher, in folders with our names. It cannot prune trials."""
    number = 0
    while batch := list(itertools.islice(iter(plan.next, None), size)):
        error = None
        for job in batch:
            append_to_log(job.run(folder), f"{STARTED}{shlex.join(job.overrides)}")
        try:
            runner.launch([[*job.overrides, f"hydra.sweep.subdir={quote(job.name)}"] for job in batch], number)
        except RuntimeError as e:  # a process died: the launcher loses all results, but the jobs' folders contain them
            error = (str(e) or repr(e)).splitlines()[0]
        for job in batch:
            run = job.run(folder)
            if error and run.status().state in ("waiting", "interrupted"):
                append_to_log(run, f"error: {error}")
            plan.record_end(job, run.status())
            display.show_end(job, run.status())
        number += len(batch)


def _job_return(folder: Path, job: Job) -> JobReturn:
    """Returns the result that Hydra's sweepers expect from a job: its validation loss, or its error.

    An implausible loss is returned as infinity, so that no sweeper chooses the job.
    """
    status = job.run(folder).status()
    loss = math.inf if why_implausible(status.summary) else status.val_loss
    done = JobReturn(overrides=job.overrides, working_dir=str(Path.cwd()), task_name=job.name)
    done.status = JobStatus.COMPLETED if status.state == "completed" else JobStatus.FAILED
    done.return_value = loss if status.state == "completed" else RunFailed(status.reason or status.state)
    return done
