"""Continues a sweep or a search in its folder: which jobs run again, and which are done.

Grids and searches both use `split_by_progress`, so that `resume=` has the same effect on both.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headscope.config.overrides import split
from headscope.errors import UserError
from headscope.run.limits import MAX_STEPS
from headscope.sweep.jobs import Job


def split_by_progress(
    jobs: Sequence[Job], earlier: Sequence[Job], folder: Path, adds_jobs: bool = False
) -> tuple[list[Job], list[Job]]:
    """Returns all jobs, and the jobs to run.

    A job is done if a search pruned it, or if it has completed and its overrides ask for no further steps. Jobs that
    failed or were killed run again. `earlier` are the jobs in the manifest: a job that is done keeps the overrides that
    it was trained with. If each job is done or has failed, and the sweep adds no jobs (`adds_jobs`), a new override
    would have no effect, and `UserError` is raised.
    """
    trained = {job.name: job for job in earlier}
    left = [job for job in jobs if not _is_done(job, folder)]
    found = [job if job in left else _as_trained(job, trained.get(job.name, job), folder) for job in jobs]
    failed = all(job.run(folder).status().state == "failed" for job in left)
    if failed and len(left) < len(jobs) and not adds_jobs:
        _refuse_unused(folder, jobs, [*earlier, *(job for job in found if job not in left)])
    return found, left


def _is_done(job: Job, folder: Path) -> bool:
    """Whether a job needs no further training."""
    status = job.run(folder).status()
    if status.state != "completed":
        return status.state == "pruned"
    # A run that another limit ended, such as early stopping, has done fewer steps than its config allows.
    allowed = max(status.steps[0], _integer(job.run(folder).config().get(MAX_STEPS)))
    return _integer(job.values.get(MAX_STEPS)) <= allowed


def _integer(text: str | None) -> int:
    """Returns the integer that a text contains, or 0."""
    try:
        return int(text or "")
    except ValueError:
        return 0


def _as_trained(job: Job, earlier: Job, folder: Path) -> Job:
    """Returns a finished job with the overrides that it was trained with, in place of those of this command."""
    config = earlier.run(folder).config()
    matching = [o for o in job.overrides if config.get(split(o)[0]) == split(o)[1]]
    return replace(job, overrides=tuple({split(o)[0]: o for o in [*earlier.overrides, *matching]}.values()))


def _refuse_unused(folder: Path, jobs: Sequence[Job], trained: Sequence[Job]) -> None:
    """Raises `UserError` for the first override of `jobs` that no job was trained with."""
    used = {o for job in trained for o in job.overrides}
    if new := next((o for job in jobs for o in job.overrides if o not in used), None):
        instead = f"sweep over its values, use a larger {MAX_STEPS} to train further, or start a new sweep"
        raise UserError(f"all jobs in {folder} have ended without {new}; {instead}")
