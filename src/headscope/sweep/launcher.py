"""A grid of jobs: made of what was typed, run, and reported on."""

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn

from headscope.errors import JobsFailed, UserError
from headscope.files import write_atomically
from headscope.report.writing import write_report
from headscope.run.folder import STARTED, RunFolder, Status, resuming
from headscope.sweep.jobs import MANIFEST, Job, Manifest, known_jobs, named, split, swept
from headscope.sweep.pool import Plan, Pool
from headscope.sweep.table import Table


def parsed(params: dict[str, Any], typed: list[str], loader: ConfigLoader) -> list[Override]:
    """The overrides of a file, then those typed, the later of two with one key."""
    given = [f"{key}={value}" for key, value in params.items()]
    overrides = OverridesParser.create(loader).parse_overrides([*given, *typed])
    return list({override.get_key_element().lstrip("+~"): override for override in overrides}.values())


def combinations(params: dict[str, Any], typed: list[str], loader: ConfigLoader) -> list[list[str]]:
    """The overrides of each job: every combination of the values given, the last key varying fastest.

    Raises:
        UserError: an interval, which only a search takes, or what no sweep can do.
    """
    choices = []
    for override in parsed(params, typed, loader):
        if not override.is_sweep_override():
            choices.append([str(override.input_line)])
        elif override.is_discrete_sweep():
            choices.append([f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()])
        else:
            raise UserError(f"{override.input_line}: an interval is for sweep=search; give values with commas between")
    if any("task=validate" in choice for choice in choices):
        raise UserError("task=validate measures one checkpoint; leave out -m")
    return [list(job) for job in dict.fromkeys(itertools.product(*choices))]


def with_names(jobs: Sequence[Sequence[str]], known: Sequence[Job], folder: Path) -> list[Job]:
    """Jobs with their names: those of known jobs where all that is swept is the same, else new ones.

    A key that is swept only now, the seed say, has in a known job the value of that job's config.
    """
    plain = [Job("", tuple(job)) for job in jobs]
    keys = dict.fromkeys([*swept(known), *swept(plain)])
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


class Grid(Plan):
    """Jobs known beforehand, one after the other; those that have completed are passed over."""

    def __init__(self, folder: Path, jobs: Sequence[Job], table: Table) -> None:
        self.folder, self.left, self.table = folder, list(jobs), table

    def next(self) -> Job | None:
        while self.left:
            job = self.left.pop(0)
            now = RunFolder(self.folder / job.name).status()
            if now.state != "completed" or _extended(job, now):
                return job
            self.table.ended(job, now)
        return None

    def ended(self, job: Job, status: Status) -> None:
        pass


def _extended(job: Job, now: Status) -> bool:
    """Whether a completed job is asked for more steps than it has done."""
    steps = job.values.get("trainer.max_steps", "")
    return steps.isdigit() and int(steps) > now.steps[0]


def launch(folder: str, overrides: Sequence[Sequence[str]], n_jobs: int | None, gpus_per_job: int) -> None:
    """Runs a grid of jobs and writes its report.

    Args:
        folder: of the sweep.
        overrides: of each job.
        n_jobs: at once; None leaves it to the machine.
        gpus_per_job: of a machine that has them.

    Raises:
        UserError: the folder holds something else, or a number is out of range.
        JobsFailed: some did; the others were done.
        Interrupted: told to stop.
    """
    path = ready(Path(folder), n_jobs, gpus_per_job)
    known = known_jobs(path)
    jobs = with_names(overrides, known, path)
    gone = [job for job in known if job.name not in {j.name for j in jobs}]
    Manifest(command(), (*gone, *jobs)).write(path)
    table = Table(len(jobs), swept(jobs))
    finish(path, lambda: Pool(path, n_jobs, gpus_per_job).run(Grid(path, jobs, table), table))


def command() -> tuple[str, ...]:
    """What was typed after the script, the folder left out."""
    return tuple(a for a in sys.argv[1:] if split(a)[0] != "hydra.sweep.dir")


def ready(folder: Path, n_jobs: int | None, gpus_per_job: int) -> Path:
    """The folder, if a sweep may start or go on there.

    Raises:
        UserError: it may not, or a number is out of range.
    """
    for key, value in (("n_jobs", n_jobs), ("gpus_per_job", gpus_per_job)):
        if not (isinstance(value, int) and value >= 1) and (value is not None or key != "n_jobs"):
            raise UserError(f"hydra.launcher.{key}={value} is not a number of at least 1; give one")
    if folder.resolve() == Path.cwd():
        raise UserError("hydra.sweep.dir is the current folder; choose one of its own, such as outputs/NAME")
    if RunFolder(folder).summary_file.exists() or (
        (folder / MANIFEST).exists() and not resuming(folder, folder / MANIFEST)
    ):
        raise UserError(f"{folder} holds something already; go on with resume={folder}, or choose another folder")
    return folder


def finish(folder: Path, run: Callable[[], None]) -> None:
    """Runs a sweep; writes its report, however it ended; says where it lies and what came of it.

    Raises:
        JobsFailed: a job did, or was stopped by somebody else.
    """
    try:
        run()
    finally:
        print("\n" + write_report(folder), flush=True)
    jobs = Manifest.read(folder).jobs
    states = {job.name: RunFolder(folder / job.name).status() for job in jobs}
    failed = {name: s for name, s in states.items() if s.state not in ("completed", "pruned")}
    if failed:
        raise JobsFailed(len(jobs), {name: s.reason or s.state for name, s in failed.items()})


def by_another(folder: str, overrides: Sequence[Sequence[str]], launch: Callable[[], Sequence[JobReturn]]) -> None:
    """A grid of jobs that another launcher runs, in folders that it numbers, with our manifest and report.

    Args:
        folder: of the sweep.
        overrides: of each job.
        launch: runs them all.

    Raises:
        UserError: the folder holds something else.
        JobsFailed: some did; the others were done.
    """
    path = ready(Path(folder), None, 1)
    jobs = [Job(str(number), tuple(job)) for number, job in enumerate(overrides)]
    known = known_jobs(path)
    keys = swept(known)
    for old, new in zip(known, jobs, strict=False):
        if any(old.values.get(key) != new.values.get(key) for key in keys):
            raise UserError(f"{path} numbers its jobs in another order; start the larger sweep in a new folder")
    Manifest(command(), tuple(jobs)).write(path)

    def run() -> None:
        for job, e in _failures(jobs, launch, path):
            write_atomically(RunFolder(path / job.name).job_log, f"{STARTED}{job.name}\nerror: {e}\n".encode())

    finish(path, run)


def _failures(
    jobs: Sequence[Job], launch: Callable[[], Sequence[JobReturn]], folder: Path
) -> Iterator[tuple[Job, Exception]]:
    """Runs the jobs; yields those that failed with what they raised."""
    try:
        ended = launch()
    except RuntimeError as e:  # one that died without a word takes the others' words along
        yield from ((job, e) for job in jobs if RunFolder(folder / job.name).status().state != "completed")
        return
    for job, done in zip(jobs, ended, strict=True):
        try:
            done.return_value  # noqa: B018, it raises what the job did
        except Exception as e:
            yield job, e
