"""Continues a sweep or a search in its folder: which jobs run again, and which are done.

Grids and searches both use `split_by_progress`, so that `resume=` has the same effect on both.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headscope.config.overrides import split
from headscope.errors import UserError
from headscope.run.folder import Status
from headscope.sweep.jobs import Job

STEPS = "trainer.max_steps"  #: the key with which a completed job is trained further


def split_by_progress(
    jobs: Sequence[Job], earlier: Sequence[Job], folder: Path, adds_jobs: bool = False
) -> tuple[list[Job], list[Job]]:
    """Returns the jobs to run, and those that are done; both keep their order.

    A job is done if a search pruned it, or if it has completed and its overrides ask for no further steps. Jobs that
    failed or were killed run again. `earlier` are the jobs in the manifest: a job that is done keeps the overrides that
    it was trained with. Raises `UserError` if an override has no effect, because every job is done or has failed, and
    the sweep does not add jobs (`adds_jobs`).
    """
    trained = {job.name: job for job in earlier}
    left, done, ended = [], [], True
    for job in jobs:
        status = job.run(folder).status()
        if is_done(job, status, folder):
            done.append(_as_trained(job, trained.get(job.name, job), folder))
        else:
            left.append(job)
            ended &= status.state == "failed"
    if ended and done and not adds_jobs:
        _refuse_unused(folder, jobs, [*earlier, *done])
    return left, done


def is_done(job: Job, status: Status, folder: Path) -> bool:
    """Whether a job needs no further training."""
    if status.state != "completed":
        return status.state == "pruned"
    # A run that stopped early has done fewer steps than its config allows.
    allowed = max(status.steps[0], _integer(job.run(folder).config().get(STEPS)))
    return _integer(job.values.get(STEPS)) <= allowed


def _integer(text: str | None) -> int:
    """Returns the integer that a text contains, or 0."""
    try:
        return int(text or "")
    except ValueError:
        return 0


def _as_trained(job: Job, earlier: Job, folder: Path) -> Job:
    """Returns a job that is done with the overrides that it was trained with, not those of this command."""
    config = earlier.run(folder).config()
    matching = [o for o in job.overrides if config.get(split(o)[0]) == split(o)[1]]
    return replace(job, overrides=tuple({split(o)[0]: o for o in [*earlier.overrides, *matching]}.values()))


def _refuse_unused(folder: Path, jobs: Sequence[Job], trained: Sequence[Job]) -> None:
    """Raises `UserError` for the first override of `jobs` that no job was trained with."""
    used = {o for job in trained for o in job.overrides}
    new = next((o for job in jobs for o in job.overrides if o not in used), None)
    if new is None:
        return
    ended = f"all jobs in {folder} have ended without {new}"
    if split(new)[0] == STEPS:
        most = max(job.run(folder).status().steps[0] for job in trained)
        raise UserError(f"{ended}; they have done {most} steps, so use more to train them further")
    raise UserError(f"{ended}; sweep over its values, train further with {STEPS}=…, or start a new sweep")
