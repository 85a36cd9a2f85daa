"""Composes a config from overrides, as the command line does."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig

from headscope.config.composed import compose_with_hydra, split_off_hydra
from headscope.config.keys import TrainConfig
from headscope.config.overrides import FLAGS, as_text, refuse_dashes, split
from headscope.config.schema import parse
from headscope.errors import RunFailed, UserError
from headscope.installed import command
from headscope.run.outcome import outcome


def compose(*overrides: str) -> dict[str, Any]:
    """Returns the config of a run: nested dicts of plain values, every interpolation resolved and every value checked.

    `paths.run_dir` is empty, because only a run has a folder. Nothing is downloaded, written or trained, and another
    program's use of Hydra in this process is not affected.

    >>> config = headscope.compose("position=rope", "model.n_layers=2")
    >>> config["model"]["n_layers"], config["position"]["_target_"]
    (2, 'headscope.model.position.Rotary')
    >>> headscope.compose("model.n_layers=two")
    Traceback (most recent call last):
        ...
    headscope.errors.UserError: model.n_layers=two must be an integer

    Args:
        overrides: as after `train.py`, such as "model=part4", "seed=3".

    Raises:
        UserError: the command line would refuse them, with the same message.
    """
    with same_errors(overrides):
        composed = split_off_hydra(compose_overrides(overrides))
        parse(composed.config, TrainConfig, composed.choices)
        return composed.config


def compose_overrides(overrides: Sequence[str]) -> DictConfig:
    """Returns the config that Hydra composes from overrides, including Hydra's own node.

    Raises:
        UserError: an override works only on the command line, or a plugin is missing.
    """
    for override in overrides:
        if not isinstance(override, str):
            raise UserError(f"{override!r} is no override; give text, as in 'seed=1'")
    refuse_dashes(overrides)
    keys = dict(split(o) for o in overrides)
    many = keys.get("sweep", "null") != "null" or keys.get("hydra.mode", "RUN") != "RUN"
    if many or {"-m", "--multirun"} & set(overrides):
        raise UserError(f"Python trains one run at a time; {command_line(overrides)} trains many")
    if flags := [o for o in overrides if o.partition("=")[0] in FLAGS]:
        raise UserError(f"{flags[0]} is for the command line: {command_line(overrides)}")
    return compose_with_hydra("train", as_text(overrides))


def command_line(overrides: Sequence[str]) -> str:
    """Returns the shell command for these overrides."""
    return f"{command('train')} {shlex.join(overrides)}"


@contextmanager
def same_errors(overrides: Sequence[str]) -> Iterator[None]:
    """Raises an exception where the command line would exit with an error message.

    Raises:
        UserError: for its exit code 2.
        RunFailed: for its exit code 3.
    """
    try:
        yield
    except (UserError, RunFailed):
        raise
    except Exception as e:
        code, message = outcome(e, "train", overrides) or (1, "")
        if code == 1:
            raise
        raise (UserError if code == 2 else RunFailed)(message) from e
