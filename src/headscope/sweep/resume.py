"""`resume=DIR`: the overrides that continue a run or a sweep."""

from collections.abc import Sequence

from headscope.config.overrides import RESUME, quote, split
from headscope.errors import UserError
from headscope.run.folder import RunFolder
from headscope.run.limits import check_completed
from headscope.sweep.jobs import MANIFEST, Manifest


def resume_overrides(folder: str, overrides: Sequence[str]) -> list[str] | None:
    """Returns the overrides that resume a run or a sweep in its folder; None if the run has completed.

    They are the recorded and the new ones. The run records all of them for the next resume. Raises `UserError` if no
    run was started in the folder, or if the run has completed and the overrides do not include trainer.max_steps.
    """
    if not folder:
        raise UserError("resume= is empty; use resume=DIR with the folder of a run")
    if {"-h", "--help"} & set(overrides):
        return ["--help"]
    run = RunFolder(folder)
    resume = f"{RESUME}={quote(str(run.path.resolve()))}"
    if (run.path / MANIFEST).exists():
        command = Manifest.read(run.path).command
        return [*replace_overrides(command, overrides), resume, f"hydra.sweep.dir={quote(str(run))}"]
    before = run.overrides()
    if moved := [o for o in overrides if split(o)[0] in ("hydra.run.dir", "hydra.sweep.dir", "paths.run_dir")]:
        raise UserError(f"{moved[0]} cannot be used with resume={folder}, because a run is resumed in its own folder")
    summary = run.summary()
    if summary.get("status") == "completed" and (completed := check_completed(run, summary, overrides)):
        print(completed)
        return None
    return [*replace_overrides(before, overrides), resume, f"hydra.run.dir={quote(str(run))}", "hydra.mode=RUN"]


def replace_overrides(before: Sequence[str], new: Sequence[str]) -> list[str]:
    """Returns the earlier overrides, except those whose keys have new overrides, followed by the new overrides."""
    keys = [split(o)[0] for o in new]
    kept = [o for o in before if split(o)[0] not in keys or "=" not in o]
    return [*kept, *(o for o in new if "=" in o or o not in kept)]
