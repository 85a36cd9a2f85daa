"""A grid of jobs: composed from what was typed, named, and run."""

import contextlib
import io
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus

from headscope.errors import RunFailed, UserError
from headscope.files import write_atomically
from headscope.run.folder import STARTED, Lock, RunFolder, Status, resuming
from headscope.sweep.jobs import MANIFEST, Job, Manifest, begun, known_jobs, named, split, swept
from headscope.sweep.pool import Plan, Pool
from headscope.sweep.table import JobTable


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
        elif override.is_discrete_sweep():
            choices.append([f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()])
        else:
            raise UserError(f"{override.input_line}: only sweep=search takes an interval; give values with commas")
    if any("task=validate" in choice for choice in choices):
        raise UserError("task=validate measures one checkpoint; leave out -m")
    if empty := [o for o, choice in zip(parsed(params, typed, loader), choices, strict=True) if not choice]:
        raise UserError(f"{empty[0].input_line} has no values to sweep over; give at least one")
    return [list(job) for job in dict.fromkeys(itertools.product(*choices))]


def with_names(jobs: Sequence[Sequence[str]], known: Sequence[Job], folder: Path) -> list[Job]:
    """Jobs with their names: those of known jobs that agree in every swept key, new names for the others.

    A key that is swept only now, the seed say, has in a known job the value of that job's config.
    """
    plain = [Job("", tuple(job)) for job in jobs]
    # Hydra's sweeper may launch one job at a time, so that no key differs among the new ones.
    keys = dict.fromkeys([*swept(known), *swept(plain)] or swept([*known, *plain]))
    configs = {job.name: RunFolder(folder / job.name).config() for job in known}
    names = {tuple(job.values.get(key, configs[job.name].get(key)) for key in keys): job.name for job in known}
    numbers = itertools.count(len(known))
    width = max(2, len(str(len(jobs) - 1)))
    return [
        Job(
            names.get(tuple(job.values.get(key) for key in keys))
            or named(next(numbers), {key: job.values[key] for key in keys if key in job.values}, width),
            job.overrides,
        )
        for job in plain
    ]


class GridPlan(Plan):
    """Jobs known beforehand, one after the other; completed ones are skipped."""

    def __init__(self, folder: Path, jobs: Sequence[Job], table: JobTable) -> None:
        self.folder, self.left, self.table = folder, list(jobs), table

    def next(self) -> Job | None:
        while self.left:
            job = self.left.pop(0)
            status = RunFolder(self.folder / job.name).status()
            if status.state != "completed" or extended(job, status):
                return job
            self.table.ended(job, status)
        return None


def extended(job: Job, status: Status) -> bool:
    """Whether a completed job is asked for more steps than it has done."""
    steps = job.values.get("trainer.max_steps", "")
    return steps.isdigit() and int(steps) > status.steps[0]


def command() -> tuple[str, ...]:
    """What was typed after the script, without the folder."""
    return tuple(a for a in sys.argv[1:] if split(a)[0] != "hydra.sweep.dir")


def own(folder: Path) -> Path:
    """Takes a sweep's folder for this process, if a sweep may start or continue there.

    Raises:
        UserError: it may not, or another process owns it.
    """
    if folder in begun:  # the next batch of Hydra's own sweeper
        return folder
    if folder.resolve() == Path.cwd():
        raise UserError("hydra.sweep.dir is the current folder; choose one of its own, such as outputs/NAME")
    manifest = folder / MANIFEST
    Lock(folder).acquire()
    if RunFolder(folder).occupied or (manifest.exists() and not resuming(folder, manifest)):
        raise UserError(f"{folder} holds results already; resume them with resume={folder}, or choose another folder")
    return folder


def begin(folder: Path, jobs: Sequence[Job]) -> None:
    """Lists the jobs of a sweep. From here on it has begun, and gets a report however it ends."""
    Manifest(command(), tuple(jobs)).write(folder)
    if folder not in begun:
        begun.append(folder)


def add_jobs(folder: Path, overrides: Sequence[Sequence[str]]) -> list[Job]:
    """Names jobs and adds them to the manifest.

    Raises:
        UserError: a completed job is asked for other overrides, which it was not trained with.
    """
    known = known_jobs(folder)
    jobs = with_names(overrides, known, folder)
    before = {job.name: job for job in known}
    for job in jobs:
        old, status = before.get(job.name), RunFolder(folder / job.name).status()
        if old and status.state == "completed" and not extended(job, status):
            new = [o for o in job.overrides if o not in old.overrides and split(o)[0] not in swept(jobs)]
            if new:
                raise UserError(f"{folder / job.name} has completed without {new[0]}; start a new sweep with it")
    gone = [job for job in known if job.name not in {j.name for j in jobs}]
    begin(folder, (*gone, *jobs))
    return jobs


def launch(
    folder: Path, overrides: Sequence[Sequence[str]], n_jobs: int | None, gpus_per_job: int
) -> Sequence[JobReturn]:
    """Runs jobs, each in a process of its own.

    Args:
        folder: of the sweep.
        overrides: of each job.
        n_jobs: at the same time; None lets the machine decide.
        gpus_per_job: on a machine with GPUs.

    Raises:
        UserError: the folder holds something else, or a number is out of range.
        Interrupted: a signal stopped the sweep.
    """
    pool = Pool(folder, n_jobs, gpus_per_job)
    jobs = add_jobs(own(folder), overrides)
    table = JobTable(len(jobs), swept(jobs))
    pool.run(GridPlan(folder, jobs, table), table)
    return [returned(folder, job) for job in jobs]


def returned(folder: Path, job: Job) -> JobReturn:
    """What Hydra's sweepers expect of a job: its validation loss, or the error that it ended with."""
    status = RunFolder(folder / job.name).status()
    done = JobReturn(overrides=job.overrides, working_dir=str(Path.cwd()), task_name=job.name)
    done.status = JobStatus.COMPLETED if status.state == "completed" else JobStatus.FAILED
    done.return_value = status.val_loss if status.state == "completed" else RunFailed(status.reason or status.state)
    return done


def numbered(folder: Path, overrides: Sequence[Sequence[str]], start: Callable[[], Any]) -> Any:
    """Runs jobs by another launcher, in folders that it numbers.

    Raises:
        UserError: the folder holds something else.
    """
    own(folder)
    known, jobs = known_jobs(folder), [Job(str(number), tuple(job)) for number, job in enumerate(overrides)]
    keys = swept(known)
    for old, new in zip(known, jobs, strict=False):
        if any(old.values.get(key) != new.values.get(key) for key in keys):
            raise UserError(f"{folder} numbers its jobs in another order; start the larger sweep in a new folder")
    begin(folder, jobs)
    return start()


def record_failure(folder: Path, job: JobReturn) -> None:
    """Writes why a job of another launcher failed to where the jobs of ours write it."""
    run, overrides = RunFolder(folder), list(job.overrides or ())
    if not run.started:
        run.record({}, overrides)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # Hydra prints a line of its own
            job.return_value  # noqa: B018, raises what the job raised
    except Exception as e:
        write_atomically(run.job_log, f"{STARTED}{' '.join(overrides)}\nerror: {e}\n".encode())
