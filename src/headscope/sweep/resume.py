"""`resume=DIR`: the overrides that continue a run or a sweep."""

import re
from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from headscope.config.composed import compose_with_hydra
from headscope.config.context import own_words
from headscope.config.overrides import RESUME, is_below, is_group, quote, split
from headscope.errors import UserError
from headscope.run.folder import RunFolder
from headscope.run.limits import check_completed
from headscope.sweep.jobs import MANIFEST, Manifest


def resume_overrides(folder: str, overrides: Sequence[str]) -> list[str] | None:
    """Returns the overrides that resume a run or a sweep in its folder; None if the run has completed.

    They are the recorded overrides and the new ones; the run records all of them for the next resume. Raises
    `UserError` if no run was started in the folder, if `own_words` refuses a recorded word, or if the run has completed
    and the overrides do not change the limit that ended it.
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
    words, summary = replace_overrides(before, overrides), run.summary()
    if summary.get("status") == "completed":
        try:
            completed = check_completed(run, summary, overrides)
        except UserError:
            compose_with_hydra("train", list(map(_one_value, words)))  # reports a mistake in a word first
            raise
        if completed:
            print(completed)
            return None
    return [*words, resume, f"hydra.run.dir={quote(str(run))}", "hydra.mode=RUN"]


def replace_overrides(before: Sequence[str], new: Sequence[str]) -> list[str]:
    """Returns the earlier overrides, except those that the new overrides replace, followed by the new overrides.

    A new override replaces the earlier one of the same key. `~key` also removes `+key=value` and `+key.other=value`. A
    new option of a group also removes the earlier values of keys that the option does not have.
    """
    keys, removed = [split(o)[0] for o in new], [split(o)[0] for o in new if o.startswith("~")]
    cancelled = [o for o in before if o.startswith("+") and is_below(split(o)[0], removed)]
    kept = [o for o in before if o not in cancelled and (split(o)[0] not in keys or "=" not in o)]
    words = [*kept, *(o for o in new if "=" in o or o not in kept)]
    if not cancelled and not any(map(is_group, keys)):
        return words
    droppable = [*kept, *(o for o in new if cancelled and o.startswith("~"))]
    while problem := _problem(words):
        action, key = problem
        word = next((o for o in droppable if o in words and split(o)[0] == key), None)
        if word is None:
            break  # the run reports which override is invalid
        at = words.index(word)
        words[at : at + 1] = [f"+{word}"] if action == "append" else []
    return words


def _problem(words: Sequence[str]) -> tuple[str, str] | None:
    """Returns what Hydra fails to do with one of the overrides ("override", "delete" or "append"), and its key."""
    try:
        compose_with_hydra("train", list(map(_one_value, words)))
    except (HydraException, OmegaConfBaseException, ValueError) as e:
        m = re.search(r"Could not (override|delete|append).*? '([\w.]+)'", str(e).splitlines()[0])
        return (m[1], m[2]) if m else None
    return None


def _one_value(word: str) -> str:
    """Returns a word with one of its values, because only a sweep may have several."""
    key, _, value = word.partition("=")
    if re.match(r"\w+\(", value):
        return f"{key}=null"
    return word if re.search(r"[\[{'\"]", value) else word.partition(",")[0]
