"""Which limit ended a run, and which override continues it. Imports no torch, because `resume=DIR` reads it."""

from collections.abc import Mapping, Sequence
from typing import Any

from headscope.config.overrides import is_below, split
from headscope.errors import UserError

MAX_STEPS = "trainer.max_steps"
#: For the key of each limit except early stopping: how it ends a run, and the override that continues the run.
LIMITS = {
    MAX_STEPS: ("trainer.max_steps is reached", "trainer.max_steps=…"),
    "trainer.max_epochs": ("trainer.max_epochs is reached", "+trainer.max_epochs=…"),
    "trainer.max_time": ("trainer.max_time has elapsed", "+trainer.max_time=…"),
    "trainer.fast_dev_run": ("trainer.fast_dev_run allows no more steps", "+trainer.fast_dev_run=false"),
    "callbacks": ("a callback stopped it", "callbacks=…"),
}


def reason(limit: str) -> str:
    """Returns the reason why a limit ended a run."""
    return LIMITS[limit][0] if limit in LIMITS else f"{limit} stopped it, because the loss no longer improved"


def continued_by(limit: str) -> str:
    """Returns the override that continues a run after a limit has ended it."""
    return LIMITS[limit][1] if limit in LIMITS else f"{limit}=null"


def check_completed(folder: object, summary: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """Returns why a completed run cannot be resumed; empty if an override changes the limit that ended it.

    Raises `UserError` with the reason if there are other overrides.
    """
    limit = str(summary.get("ended_by") or MAX_STEPS)  # earlier versions did not record it
    keys = [split(o)[0] for o in overrides]
    if is_below(limit, keys) or any(is_below(key, [limit]) for key in keys):
        return ""
    because = "" if limit == MAX_STEPS else f", because {reason(limit)}"
    completed = f"{folder} has completed{because}; add {continued_by(limit)} to train further"
    if overrides:
        raise UserError(f"{completed} with {overrides[0]}")
    return completed
