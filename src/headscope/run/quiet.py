"""Hides log lines and warnings that do not concern the user."""

import logging
import warnings

from lightning.pytorch.utilities import rank_zero_only

#: Warnings from Lightning and torch that do not concern the user.
IGNORED_WARNINGS = (
    ".*does not have many workers.*",  # no workers are needed, because one indexing operation makes a batch
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # Lightning, not Headscope, makes this call
    ".*`broadcast_buffers` is deprecated.*",  # the oldest supported torch has only this option
    ".*Detected call of `lr_scheduler.step\\(\\)` before.*",  # with fp16, the gradient scaler may skip the first step
    ".*recommended to use `self.log\\('val/.*sync_dist.*",  # both metrics are already summed over the ranks
    ".*callbacks used to create the checkpoint need to be provided.*",  # the run records which ones were removed
    ".*is smaller than the logging interval.*",  # our interval counts the steps of all epochs
)


def hide_needless() -> None:
    """Hides these warnings, Lightning's information, and the log lines of all processes but the first."""
    logging.raiseExceptions = False  # a log file that cannot be written must not print a traceback
    for pattern in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        logging.getLogger().setLevel(logging.WARNING)
