"""A run from Python: the same folder, lock, files and words as from the command line, and the process as it was."""

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

from headscope.cli.console import ConsoleHandler
from headscope.cli.resume import continued
from headscope.cli.train import fit
from headscope.config.composed import apart
from headscope.config.keys import TrainConfig
from headscope.config.overrides import as_text, expanded, split
from headscope.config.schema import parse
from headscope.errors import Interrupted, UserError
from headscope.python.composing import asked, by_command, in_the_same_words
from headscope.python.trained import Trained
from headscope.run.folder import RunFolder, nothing_left
from headscope.run.prepare import Composed, prepare
from headscope.run.processes import stopping
from headscope.sweep.jobs import MANIFEST
from headscope.training.hardware import Machine, choose

TIMED = "%(asctime)s %(levelname)s %(name)s: %(message)s"  #: the lines of train.log
_training = threading.Lock()  #: a run sets seeds and threads of the whole process


class Run(Trained):
    """A run, read from its folder; its model is that of `best.ckpt`.

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
        """`summary.json`: losses, seconds, parameters, hardware, roles of heads; empty until the run has ended."""
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

    Its folder is that of the command line, `outputs/DAY/TIME-NAME` or `hydra.run.dir=…`, with the same files: any run
    may be resumed here or there by `resume=DIR`. Log lines go to `train.log`, and are printed, unless your program has
    set up logging, which then decides. Ctrl-C, a notebook's stop button, saves a checkpoint first. Afterwards seeds,
    threads, logging, warnings, signal handlers and the environment are as they were.

    >>> run = headscope.train("experiment=toy", "trainer.max_steps=4", "callbacks=none", "hydra.run.dir=short")
    >>> run.folder.name, run.summary["steps"]
    ('short', 4)

    Args:
        overrides: as after `train.py`, but for one run on one device.

    Raises:
        UserError: the command line would refuse them, in the same words.
        RunFailed: the run failed in a way we foresee, such as a loss that is not finite.
        KeyboardInterrupt: Ctrl-C; the checkpoint is saved.
    """
    began = time.monotonic()
    if not _training.acquire(blocking=False):
        raise UserError("another run trains in this process; wait until it has ended")
    try:
        with in_the_same_words(overrides), _as_it_was():
            return Run(_train(overrides, began))
    except Interrupted as e:
        if e.signum == signal.SIGINT:
            raise KeyboardInterrupt(str(e)) from e
        raise SystemExit(128 + e.signum) from e
    finally:
        _training.release()


def _train(overrides: Sequence[str], began: float) -> Path:
    """The folder of a run that has completed."""
    known = {split(o)[0]: split(o)[1] for o in overrides if isinstance(o, str)}
    if "resume" in known:
        folder = expanded(known["resume"])
        if (Path(folder) / MANIFEST).exists():
            raise UserError(f"{folder} holds a sweep, which the command line resumes: {by_command(overrides)}")
        resumed = continued(folder, as_text([o for o in overrides if split(o)[0] != "resume"]))
        if resumed is None:
            return Path(folder)
        overrides = resumed
    if "paths.run_dir" in known:
        raise UserError("paths.run_dir follows from the run's folder; give hydra.run.dir=…")
    cfg = asked(overrides)
    if cfg.task == "validate":
        raise UserError(
            f"task=validate is for the command line: {by_command(overrides)}; here there is load(…).loss(…)"
        )
    typed, run = list(cfg.hydra.overrides.task), RunFolder(cfg.hydra.run.dir)
    try:
        with nothing_left(run, began), _logged(run.path / "train.log"):
            config, choices = apart(cfg, str(run.path.absolute()))
            choice = choose(Machine.here(), parse(config, TrainConfig, choices).trainer)
            if choice.devices * config["trainer"].get("num_nodes", 1) > 1:
                raise UserError(
                    f"{choice.devices} devices take as many processes, which the command line starts:"
                    f" {by_command(overrides)}; in Python add trainer.devices=1"
                )
            fit(prepare(Composed(config, typed, choices, began)))
    finally:
        run.lock.release()
    return run.path


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Whatever a run sets for its whole process is put back."""
    loud = [logging.getLogger(name) for name in ("", "lightning.pytorch", "lightning.fabric")]
    levels, raising = [logger.level for logger in loud], logging.raiseExceptions
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    exact = torch.are_deterministic_algorithms_enabled()
    dice = random.getstate(), np.random.get_state()
    here = threading.current_thread() is threading.main_thread()
    handlers = {s: signal.getsignal(s) for s in stopping()} if here else {}
    try:
        with patch.dict(os.environ), warnings.catch_warnings(), torch.random.fork_rng():
            yield
    finally:
        for signum, handler in handlers.items():  # Lightning puts its own back, after ours
            signal.signal(signum, handler)
        random.setstate(dice[0])
        np.random.set_state(dice[1])
        torch.use_deterministic_algorithms(exact)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        logging.raiseExceptions = raising
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    """Our log lines go to a file, all of them, and on to the program's own handlers as its levels say.

    Where a program has none, as a notebook, they are printed, as on the command line.
    """
    ours, root = logging.getLogger("headscope"), logging.getLogger()
    onwards: logging.Handler = ConsoleHandler()
    if ours.hasHandlers():
        onwards = logging.Handler(ours.getEffectiveLevel())
        onwards.emit = root.handle  # type: ignore[method-assign]
    to_file = logging.FileHandler(file, encoding="utf-8", delay=True)
    to_file.setFormatter(logging.Formatter(TIMED))
    level, propagates = ours.level, ours.propagate
    ours.setLevel(min(logging.INFO, ours.getEffectiveLevel()))
    ours.propagate = False
    for handler in (to_file, *([onwards] if propagates else [])):
        ours.addHandler(handler)
    try:
        yield
    finally:
        ours.setLevel(level)
        ours.propagate = propagates
        for handler in (to_file, onwards):
            ours.removeHandler(handler)
        to_file.close()
