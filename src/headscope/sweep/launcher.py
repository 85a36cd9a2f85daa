"""A grid of jobs: composed from what was typed, named, recorded, and run by our pool or by another launcher."""

import itertools
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from headscope.config.overrides import RESUME, quoted, split
from headscope.errors import RunFailed, UserError
from headscope.run.folder import STARTED, RunFolder
from headscope.sweep.display import JobDisplay
from headscope.sweep.jobs import Job, Manifest, known, named, note, own, swept
from headscope.sweep.pool import Plan, Pool


def parsed(params: dict[str, Any], typed: list[str], loader: ConfigLoader) -> list[Override]:
    """The overrides of a file, then the typed ones; of two with the same key, the later."""
    given = [f"{key}={value}" for key, value in params.items()]
    overrides = OverridesParser.create(loader).parse_overrides([*given, *typed])
    return list({override.get_key_element().lstrip("+~"): override for override in overrides}.values())


def combinations(params: dict[str, Any], typed: list[str], loader: ConfigLoader) -> list[list[str]]:
    """The overrides of each job: every combination of the values given, the last key varying fastest.

    Raises:
        UserError: an interval, which only a search takes, or something that cannot be swept.
    """
    choices = []
    for override in parsed(params, typed, loader):
        if not override.is_sweep_override():
            choices.append([str(override.input_line)])
        elif not override.is_discrete_sweep():
            raise UserError(f"{override.input_line}: only sweep=search takes an interval; give values with commas")
        elif values := [f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()]:
            choices.append(values)
        else:
            raise UserError(f"{override.input_line} has no values to sweep over; give at least one")
    if any("task=validate" in choice for choice in choices):
        raise UserError("task=validate measures one checkpoint; leave out -m")
    return [list(job) for job in dict.fromkeys(itertools.product(*choices))]


def with_names(
    asked: Sequence[Job], before: Manifest, folder: Path, first: int = 0, launched: Sequence[Job] = ()
) -> Manifest:
    """The jobs asked for, with their names, and the keys that tell jobs apart.

    A job that agrees with one of an earlier process in all those keys is that job. A key that is swept only now, the
    seed say, has in an earlier job the value of that job's config.

    `before` is the manifest until now, `first` the lowest number for a new job. None of the jobs that this process has
    `launched` in earlier batches is asked for again.
    """
    keys = tuple(dict.fromkeys([*before.keys, *swept([*launched, *asked])]))
    names = {}
    for job in before.jobs:
        if job.name not in {j.name for j in launched}:
            config = RunFolder(folder / job.name).config()
            names[tuple(job.values.get(key, config.get(key)) for key in keys)] = job.name
    taken = {int(n) for job in before.jobs if (n := job.name.partition("-")[0]).isdigit()}
    numbers = (n for n in itertools.count(first) if n not in taken)
    width = max(2, len(str(len(asked) - 1)))
    jobs = []
    for job in asked:
        name = names.get(tuple(job.values.get(key) for key in keys))
        values = {key: job.values[key] for key in keys if key in job.values}
        jobs.append(replace(job, name=name or named(next(numbers), values, width)))
    return Manifest(command(), tuple(jobs), keys)


def command() -> tuple[str, ...]:
    """What was typed after the script, without the folder."""
    return tuple(a for a in sys.argv[1:] if split(a)[0] not in ("hydra.sweep.dir", RESUME))


def as_trained(asked: Job, old: Job, folder: Path) -> Job:
    """A completed job with the overrides that it was trained with, whatever is asked of it now."""
    config = RunFolder(folder / old.name).config()
    true = [o for o in asked.overrides if config.get(split(o)[0]) == split(o)[1]]
    return replace(asked, overrides=tuple({split(o)[0]: o for o in [*old.overrides, *true]}.values()))


def refuse_new(folder: Path, overrides: Sequence[str], jobs: Sequence[Job]) -> None:
    """Refuses to resume a finished sweep with overrides that no job has: completed jobs would not be trained again."""
    had = {o for job in jobs for o in job.overrides}
    if new := [o for o in overrides if o not in had]:
        raise UserError(
            f"all jobs in {folder} have ended without {new[0]}; sweep over several values of it, train further with"
            " trainer.max_steps=…, or start a new sweep"
        )


def launch(
    folder: Path, overrides: Sequence[Sequence[str]], runner: Pool | Launcher, first: int = 0, trial: bool = False
) -> list[JobReturn]:
    """Runs those jobs of a grid that have not completed; see `with_names` and `Job` for what is given.

    An earlier job that never started and is not asked for any more is forgotten.

    Raises:
        UserError: the folder cannot be used, or overrides would change nothing.
        Interrupted: a signal stopped the sweep.
    """
    launched, before = own(folder), known(folder)
    asked = with_names([Job("", tuple(o), trial) for o in overrides], before, folder, first, launched)
    old = {job.name: job for job in before.jobs}
    jobs, done, finished = [], [], True
    for job in asked.jobs:
        status = RunFolder(folder / job.name).status()
        steps = job.values.get("trainer.max_steps", "")
        longer = steps.isdigit() and int(steps) > status.steps[0]
        trained = status.state == "completed" and not longer
        jobs.append(as_trained(job, old.get(job.name, job), folder) if trained else job)
        done += jobs[-1:] * trained
        finished &= trained or status.state == "failed"
    if finished:
        refuse_new(folder, [o for job in asked.jobs for o in job.overrides], [*before.jobs, *done])
    names = {job.name for job in jobs}
    started = [j for j in before.jobs if j in launched or RunFolder(folder / j.name).status().state != "waiting"]
    Manifest(asked.command, (*(job for job in started if job.name not in names), *jobs), asked.keys).write(folder)
    launched += jobs
    run(Plan([job for job in jobs if job not in done], done), runner, folder)
    return [returned(folder, job) for job in jobs]


def run(plan: Plan, runner: Pool | Launcher, folder: Path, size: int | None = None) -> None:
    """Runs the jobs of a plan: in our pool, or by another launcher, `size` jobs together, all of them if not given."""
    with JobDisplay(plan.total, live=isinstance(runner, Pool)) as display:
        for job in plan.done:
            display.ended(job, RunFolder(folder / job.name).status())
        if isinstance(runner, Pool):
            runner.run(plan, display)
        else:
            in_batches(plan, display, runner, folder, size)


def in_batches(plan: Plan, display: JobDisplay, runner: Launcher, folder: Path, size: int | None) -> None:
    """Runs the jobs of a plan by another launcher, which is told our names of the folders and cannot prune."""
    number = 0
    while batch := list(itertools.islice(iter(plan.next, None), size)):
        error = None
        for job in batch:
            note(folder / job.name, f"{STARTED}{shlex.join(job.overrides)}")
        try:
            runner.launch([[*job.overrides, f"hydra.sweep.subdir={quoted(job.name)}"] for job in batch], number)
        except RuntimeError as e:  # a process died: the results of the other jobs are lost, but not their files
            error = (str(e) or repr(e)).splitlines()[0]
        for job in batch:
            if error and RunFolder(folder / job.name).status().state in ("waiting", "interrupted"):
                note(folder / job.name, f"error: {error}")
            status = RunFolder(folder / job.name).status()
            plan.ended(job, status)
            display.ended(job, status)
        number += len(batch)


def returned(folder: Path, job: Job) -> JobReturn:
    """What Hydra's sweepers expect of a job: its validation loss, or the error that it ended with."""
    status = RunFolder(folder / job.name).status()
    done = JobReturn(overrides=job.overrides, working_dir=str(Path.cwd()), task_name=job.name)
    done.status = JobStatus.COMPLETED if status.state == "completed" else JobStatus.FAILED
    done.return_value = status.val_loss if status.state == "completed" else RunFailed(status.reason or status.state)
    return done
