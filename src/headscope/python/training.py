"""A run from Python: the same folder, lock, files and messages as from the command line.

Afterwards the state of the process is restored.
"""

import logging
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from headscope.config.composed import split_off_hydra
from headscope.config.overrides import as_text, expanded, split
from headscope.errors import Interrupted, UserError
from headscope.python.composing import command_line, compose_overrides, same_errors
from headscope.python.trained import Trained
from headscope.run.console import ConsoleHandler
from headscope.run.execute import execute
from headscope.run.folder import RunFolder
from headscope.run.processes import stopping
from headscope.sweep.jobs import MANIFEST
from headscope.sweep.resume import continued

TIMED = "%(asctime)s %(levelname)s %(name)s: %(message)s"  #: the format of train.log
_training = threading.Lock()  #: one run at a time, because a run sets seeds and threads of the whole process


class Run(Trained):
    """A run, read from its folder; the model comes from `best.ckpt`.

    >>> run = headscope.Run(folder)
    >>> run.summary["status"], run.summary["steps"], len(run.losses)
    ('completed', 200, 4)

    Args:
        folder: such as "outputs/2026-01-31/12-00-00-run".

    Raises:
        UserError: no run was started there.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder: Path = Path(folder)
        RunFolder(folder).overrides()
        super().__init__(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`: losses, seconds, parameters, hardware, roles of heads.

        Empty until the run has ended.
        """
        return RunFolder(self.folder).summary()

    @property
    def history(self) -> list[dict[str, float]]:
        """Step, seconds and val_loss of each validation."""
        return RunFolder(self.folder).status().history

    @property
    def losses(self) -> list[float]:
        """The validation losses, in nats per token."""
        return [entry["val_loss"] for entry in self.history]


def train(*overrides: str) -> Run:
    """Trains a model in this process, and returns its run.

    As on the command line, the run's folder is `outputs/DAY/TIME-NAME` or `hydra.run.dir=…`, with the same files. Any
    run may be resumed from Python or from the command line with `resume=DIR`. Log lines go to `train.log`, and are
    printed unless your program has set up logging. Ctrl-C, a notebook's stop button, saves a checkpoint first.
    Afterwards seeds, threads, logging, warnings, signal handlers and the environment are as before.

    >>> run = headscope.train("experiment=toy", "trainer.max_steps=4", "callbacks=none", "hydra.run.dir=short")
    >>> run.folder.name, run.summary["steps"]
    ('short', 4)

    Args:
        overrides: as after `train.py`, for one run on one device.

    Raises:
        UserError: the command line would refuse them, with the same message.
        RunFailed: an expected failure, such as a loss that is not finite.
        KeyboardInterrupt: Ctrl-C; the checkpoint is saved.
    """
    started = time.monotonic()
    if not _training.acquire(blocking=False):
        raise UserError("another run trains in this process; wait until it has ended")
    try:
        with same_errors(overrides), _process_restored():
            return Run(_train(overrides, started))
    except Interrupted as e:
        if e.signum == signal.SIGINT:
            raise KeyboardInterrupt(str(e)) from e
        raise SystemExit(128 + e.signum) from e
    finally:
        _training.release()


def _train(typed: Sequence[str], started: float) -> Path:
    """Trains, and returns the folder of the completed run."""
    overrides, by_shell = typed, command_line([str(o) for o in typed])
    known = dict(split(o) for o in typed if isinstance(o, str))
    if "resume" in known:
        earlier = expanded(known["resume"])
        if (Path(earlier) / MANIFEST).exists():
            raise UserError(f"{earlier} holds a sweep, which the command line resumes: {by_shell}")
        resumed = continued(earlier, as_text([o for o in typed if split(o)[0] != "resume"]))
        if resumed is None:
            return Path(earlier)
        overrides = resumed
    if "paths.run_dir" in known:
        raise UserError("paths.run_dir follows from the run's folder; give hydra.run.dir=…")
    cfg = compose_overrides(overrides)
    if cfg.task == "validate":
        raise UserError(f"task=validate is for the command line: {by_shell}; here there is load(…).loss(…)")
    folder = Path(cfg.hydra.run.dir)
    with _logged(folder / "train.log"):
        execute(split_off_hydra(cfg, str(folder.absolute()), started, by_shell))
    return folder


@contextmanager
def _process_restored() -> Iterator[None]:
    """Restores everything that a run sets for its whole process."""
    loggers = [logging.getLogger(name) for name in ("", "lightning.pytorch", "lightning.fabric")]
    levels, raising = [logger.level for logger in loggers], logging.raiseExceptions
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    generators = random.getstate(), np.random.get_state()
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {s: signal.getsignal(s) for s in stopping()} if is_main else {}
    try:
        with patch.dict(os.environ), warnings.catch_warnings(), torch.random.fork_rng():
            yield
    finally:
        for signum, handler in handlers.items():  # Lightning restores its own handlers after ours
            signal.signal(signum, handler)
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        logging.raiseExceptions = raising
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    """Writes all log lines of Headscope to a file, and passes them to the handlers of the program at its levels.

    In a program without handlers, such as a notebook, the lines are printed, as on the command line.
    """
    ours, root = logging.getLogger("headscope"), logging.getLogger()
    shown: logging.Handler = ConsoleHandler()
    if ours.hasHandlers():
        shown = logging.Handler(ours.getEffectiveLevel())
        shown.emit = root.handle  # type: ignore[method-assign]
    to_file = logging.FileHandler(file, encoding="utf-8", delay=True)
    to_file.setFormatter(logging.Formatter(TIMED))
    level, propagates = ours.level, ours.propagate
    ours.setLevel(min(logging.INFO, ours.getEffectiveLevel()))
    ours.propagate = False
    for handler in (to_file, *([shown] if propagates else [])):
        ours.addHandler(handler)
    try:
        yield
    finally:
        ours.setLevel(level)
        ours.propagate = propagates
        for handler in (to_file, shown):
            ours.removeHandler(handler)
        to_file.close()
