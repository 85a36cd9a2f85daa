"""`resume=DIR`: the overrides that continue a run or a sweep."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from headscope.config.composed import known_keys
from headscope.config.overrides import RESUME, is_group, quote, split
from headscope.config.recorded import own_words
from headscope.errors import UserError
from headscope.run.folder import RunFolder
from headscope.run.limits import check_completed
from headscope.sweep.jobs import MANIFEST, Manifest


def resume_overrides(folder: str, overrides: Sequence[str]) -> list[str] | None:
    """Returns the overrides that resume a run or a sweep in its folder; None if the run has completed.

    They are the recorded and the new ones. The run records all of them for the next resume. Raises `UserError` if no
    run was started in the folder, if it has completed and the overrides do not include trainer.max_steps, or if
    `own_words` does.
    """
    if not folder:
        raise UserError("resume= is empty; use resume=DIR with the folder of a run")
    if {"-h", "--help"} & set(overrides):
        return ["--help"]
    run = RunFolder(folder)
    resume = f"{RESUME}={quote(str(run.path.resolve()))}"
    if (run.path / MANIFEST).exists():
        command = own_words(run.path, Manifest.read(run.path).command, overrides)
        return [*replace_overrides(command, overrides), resume, f"hydra.sweep.dir={quote(str(run))}"]
    before = own_words(run.path, run.overrides(), overrides)
    if moved := [o for o in overrides if split(o)[0] in ("hydra.run.dir", "hydra.sweep.dir", "paths.run_dir")]:
        raise UserError(f"{moved[0]} cannot be used with resume={folder}, because a run is resumed in its own folder")
    summary = run.summary()
    if summary.get("status") == "completed" and (completed := check_completed(run, summary, overrides)):
        print(completed)
        return None
    return [*replace_overrides(before, overrides), resume, f"hydra.run.dir={quote(str(run))}", "hydra.mode=RUN"]


def replace_overrides(before: Sequence[str], new: Sequence[str]) -> list[str]:
    """Returns the earlier overrides, except those that the new overrides replace, followed by the new overrides.

    An override is replaced by one of the same key. `~key` also cancels `+key=value` and `+key.other=value`, and a new
    option of a group cancels the earlier values of keys that the option does not have.
    """
    keys = [split(o)[0] for o in new]
    kept = [o for o in before if split(o)[0] not in keys or "=" not in o]
    removed = [key for key, o in zip(keys, new, strict=True) if o.startswith("~")]
    added = [o for o in before if o.startswith("+") and any(f"{split(o)[0]}.".startswith(f"{r}.") for r in removed)]
    new = [o for o in new if "=" in o or o not in kept]
    if not added and not any(map(is_group, keys)):
        return [*kept, *new]
    kept = [o for o in kept if o not in added]
    try:
        known = _keys_of_options([*kept, *new])
    except (HydraException, OmegaConfBaseException, ValueError):
        return [*kept, *new]  # the run reports which override is invalid
    kept = [adapted for o in kept if (adapted := _adapted(o, known))]
    return [*kept, *(o for o in new if not o.startswith("~") or _adapted(o, known))]


def _keys_of_options(overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the keys of the config with the last option of each group, and the keys that `+` adds, with values."""
    options = {split(o)[0]: o for o in overrides if is_group(split(o)[0])}
    words = [o for o in overrides if o.startswith("--config-dir=")]
    words += [o if "[" in o else o.partition(",")[0] for o in options.values()]  # the first option of a sweep
    known = known_keys("train", words)
    return {split(o)[0]: "added" for o in overrides if o.startswith("+")} | known


def _adapted(override: str, known: Mapping[str, Any]) -> str | None:
    """Returns an override for a config with the keys `known`; None if it is for a key that the config does not have."""
    key, _ = split(override)
    if override.startswith("-") or is_group(key) or "hydra" in re.split(r"[./@]", key):
        return override
    value = known.get(key, "a mapping" if any(k.startswith(f"{key}.") for k in known) else "absent")
    if override.startswith("+"):
        return override if value in ("added", "absent", None) else f"++{override.lstrip('+')}"
    above = any(key.startswith(f"{k}.") and v == "added" for k, v in known.items())
    lost = (value == "absent" and not above) or (value is None and override.startswith("~"))
    return None if lost else override
