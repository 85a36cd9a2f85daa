"""Composes configs and trains from Python, with the same folders, locks, files and messages as the command line."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from headscope.config.composed import compose_with_hydra, split_off_hydra
from headscope.config.keys import TrainConfig
from headscope.config.overrides import FLAGS, PATHS, as_text, expand_home, refuse_malformed, split
from headscope.config.schema import parse
from headscope.errors import Interrupted, RunFailed, UserError
from headscope.installed import command
from headscope.python.arguments import absolute_path
from headscope.python.process import process_restored
from headscope.python.trained import Trained
from headscope.run.console import ConsoleHandler
from headscope.run.execute import execute
from headscope.run.folder import RunFolder
from headscope.run.processes import outcome
from headscope.shell import shell_command
from headscope.sweep.jobs import MANIFEST
from headscope.sweep.resume import resume_overrides

_training = threading.Lock()  # only one run at a time, because a run sets the seeds and threads of the whole process


class Run(Trained):
    """A run, read from its folder; the model comes from `best.ckpt`. Raises `UserError` if no run was started there."""

    def __init__(self, folder: str | Path) -> None:
        self.folder: Path = absolute_path(folder)
        self._files()
        super().__init__(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`: losses, seconds, parameters, hardware, roles; empty until the run ends."""
        return self._files().summary()

    @property
    def history(self) -> list[dict[str, float]]:
        """The step, seconds and val_loss of each validation."""
        return self._files().status().history

    @property
    def losses(self) -> list[float]:
        """The validation losses, in nats per token."""
        return [entry["val_loss"] for entry in self.history]

    def _files(self) -> RunFolder:
        """Returns the files of the run; raises `UserError` if they were moved."""
        files = RunFolder(self.folder)
        files.overrides()
        return files


def compose(*overrides: str, **keywords: object) -> dict[str, Any]:
    """Returns the config of a run as nested dicts of plain values, which are resolved and checked.

    Downloads, writes and trains nothing; `paths.run_dir` is empty. Other uses of Hydra in this process are not
    affected.

    >>> headscope.compose("position=rope", "model.n_layers=2")["position"]["_target_"]
    'headscope.model.position.Rotary'

    Raises:
        UserError: the command line would refuse the overrides, with the same message.
    """
    _refuse_other_types("compose", overrides, keywords)
    with _errors_of_command_line(overrides):
        composed = split_off_hydra(_compose(overrides))
        parse(composed.config, TrainConfig, composed.choices)
        return composed.config


def train(*overrides: str, **keywords: object) -> Run:
    """Trains a model in this process on one device, and returns its run.

    As on the command line, the run's folder is `outputs/DAY/TIME-NAME` or `hydra.run.dir=…`, and `resume=DIR` resumes
    any run. Log lines go to `train.log`, and are printed unless your program has set up logging. Afterwards, seeds,
    threads, logging, warnings, signal handlers and the environment are restored.

    >>> run = headscope.train("experiment=toy", "trainer.max_steps=4", "callbacks=none", "hydra.run.dir=short")
    >>> run.folder.name, run.summary["steps"]
    ('short', 4)

    Raises:
        UserError: the command line would refuse the overrides, with the same message.
        RunFailed: an expected failure, such as a loss that is not finite.
        KeyboardInterrupt: Ctrl-C or a notebook's stop button; the checkpoint is saved.
    """
    started = time.monotonic()
    _refuse_other_types("train", overrides, keywords)
    if not _training.acquire(blocking=False):
        raise UserError("another run trains in this process; wait until it ends")
    try:
        with process_restored():
            return Run(_train(overrides, started))
    except Interrupted as e:
        if e.signum == signal.SIGINT:
            raise KeyboardInterrupt(str(e)) from e
        raise SystemExit(128 + e.signum) from e
    finally:
        _training.release()


def _refuse_other_types(function: str, overrides: Sequence[object], keywords: Mapping[str, object]) -> None:
    """Raises `UserError` for an override that is not a string, such as a keyword, which cannot name a key with dots."""
    if keywords:
        words = ", ".join(repr(f"{key}={value}") for key, value in keywords.items())
        raise UserError(f"overrides are strings: write headscope.{function}({words})")
    for override in overrides:
        if not isinstance(override, str):
            raise UserError(f"{override!r} is not an override; use a string, as in 'seed=1'")


def _train(typed: Sequence[str], started: float) -> Path:
    """Trains, and returns the folder of the completed run."""
    keys, typed_command, overrides = dict(map(split, typed)), _shell_command(typed), typed
    if "paths.run_dir" in keys:
        raise UserError("paths.run_dir cannot be set; use hydra.run.dir=…")
    if "resume" in keys:
        earlier = expand_home(keys["resume"])
        if (Path(earlier) / MANIFEST).exists():
            raise UserError(f"{earlier} contains a sweep, which only the command line resumes: {typed_command}")
        with _errors_of_command_line(typed):
            resumed = resume_overrides(earlier, as_text([o for o in typed if split(o)[0] != "resume"]))
        if resumed is None:  # the run has completed
            return absolute_path(earlier)
        overrides = resumed
    with _errors_of_command_line(overrides):
        cfg = _compose(overrides)
        if cfg.task == "validate":
            raise UserError(f"task=validate is for the command line: {typed_command}; in Python, use load(…).loss(…)")
        folder = absolute_path(cfg.hydra.run.dir)
        os.environ.update(cfg.hydra.job.env_set)  # as Hydra does for a job
        with _logged(folder / "train.log"):
            execute(split_off_hydra(cfg, str(folder), started, typed_command))
    return folder


def _compose(overrides: Sequence[str]) -> DictConfig:
    """Returns the config that Hydra composes from overrides, including Hydra's own node."""
    refuse_malformed(overrides)
    keys = dict(split(o) for o in overrides)
    if "resume" in keys:
        raise UserError(f"resume={keys['resume']} is for headscope.train; compose returns the config of a new run")
    many = keys.get("sweep", "null") != "null" or keys.get("hydra.mode", "RUN") != "RUN"
    if many or {"-m", "--multirun"} & set(overrides):
        raise UserError(f"Python trains one run at a time; {_shell_command(overrides)} trains several")
    if flags := [o for o in overrides if o.partition("=")[0] in FLAGS]:
        raise UserError(f"{flags[0]} is for the command line: {_shell_command(overrides)}")
    return compose_with_hydra("train", as_text(overrides, PATHS))


def _shell_command(overrides: Sequence[str]) -> str:
    """Returns the shell command that trains with these overrides."""
    return f"{command('train')} {shell_command(overrides)}"


@contextmanager
def _errors_of_command_line(overrides: Sequence[str]) -> Iterator[None]:
    """Raises `UserError` or `RunFailed` if the command line would exit with 2 or 3, with the same message."""
    try:
        yield
    except Exception as e:
        code, message = outcome(e, "train", overrides) or (1, "")
        if code == 1 or isinstance(e, UserError | RunFailed):
            raise
        raise (UserError if code == 2 else RunFailed)(message) from e


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    """Writes all of Headscope's log lines to a file, and passes them to the program's handlers at the program's levels.

    If the program has no handlers, as in most notebooks, the lines are printed, as on the command line.
    """
    ours, root = logging.getLogger("headscope"), logging.getLogger()
    shown: logging.Handler = ConsoleHandler()
    if ours.hasHandlers():
        shown = logging.Handler(ours.getEffectiveLevel())
        shown.emit = root.handle  # type: ignore[method-assign]
    to_file = logging.FileHandler(file, encoding="utf-8", delay=True)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level, propagates, handlers = ours.level, ours.propagate, list(ours.handlers)
    ours.setLevel(min(logging.INFO, ours.getEffectiveLevel()))
    ours.propagate = False
    ours.handlers += [to_file, *([shown] if propagates else [])]
    try:
        yield
    finally:
        ours.setLevel(level)
        ours.propagate, ours.handlers = propagates, handlers
        to_file.close()
