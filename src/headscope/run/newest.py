"""Chooses the newest run in a folder, for commands that get no checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headscope.errors import UserError
from headscope.run import lock
from headscope.run.folder import RunFolder


def newest(runs: Path) -> Path | None:
    """Returns the best checkpoint of the newest run below a folder, or None if no run there has a checkpoint.

    Ignores jobs of a sweep that is still running, because they replace their checkpoints. Uses a copy of a run, whose
    files look new, only if there is no other run. Raises `UserError` if all runs are jobs of running sweeps.
    """
    found = sorted(runs.glob("**/checkpoints/best.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)
    # A job's grandparent is the folder of its sweep, which is locked while the sweep runs.
    ended = [path for path in found if not lock.is_held_elsewhere(path.parents[2])]
    if found and not ended:
        raise UserError(f"{runs} has only jobs of a sweep that is still running; choose a checkpoint, or wait")
    original = next((path for path in ended if not RunFolder(path.parents[1]).original), None)
    return original or next(iter(ended), None)


@contextmanager
def newest_in_errors(path: Path | None) -> Iterator[None]:
    """Adds to the message of a `UserError` that the command used the newest run; does nothing if `path` is None."""
    try:
        yield
    except UserError as e:
        if path is None:
            raise
        raise UserError(f"{e}; the checkpoint is that of the newest run, {path}") from e
