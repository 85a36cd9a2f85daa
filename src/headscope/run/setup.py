"""Sets up the process of a run: its threads and precision, and what it logs."""

import logging
import warnings

import torch
from lightning.pytorch.utilities import rank_zero_only

from headscope.run.processes import replace_observer
from headscope.training.hardware import Choice

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


def set_up_process(choice: Choice) -> None:
    """Sets torch's threads and precision, and how the ranks end together; hides what does not concern the user."""
    if choice.threads is not None:
        torch.set_num_threads(choice.threads)
    torch.set_float32_matmul_precision("high")
    if choice.devices > 1:
        replace_observer()
    logging.raiseExceptions = False  # a log file that cannot be written must not print a traceback
    for pattern in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if rank_zero_only.rank:  # type: ignore[attr-defined]  # only the first process logs
        logging.getLogger().setLevel(logging.WARNING)
