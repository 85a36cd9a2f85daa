"""A config from overrides, as the command line composes it."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig

from headscope.cli.command import outcome
from headscope.config.composed import apart, composed
from headscope.config.keys import TrainConfig
from headscope.config.overrides import FLAGS, as_text, refuse_dashes, split
from headscope.config.schema import parse
from headscope.errors import RunFailed, UserError
from headscope.installed import command


def compose(*overrides: str) -> dict[str, Any]:
    """Returns the config of a run: nested dicts of plain values, every interpolation resolved and every value checked.

    `paths.run_dir` is empty: only a run takes a folder. Nothing is downloaded, written or trained, and the Hydra of
    another program in this process is left alone.

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
        UserError: the command line would refuse them, in the same words.
    """
    with in_the_same_words(overrides):
        config, choices = apart(asked(overrides))
        parse(config, TrainConfig, choices)
        return config


def asked(overrides: Sequence[str]) -> DictConfig:
    """What Hydra composes from overrides, with its node.

    Raises:
        UserError: they are for the command line, or a plugin is not there.
    """
    for override in overrides:
        if not isinstance(override, str):
            raise UserError(f"{override!r} is no override; give text, as in 'seed=1'")
    refuse_dashes(overrides)
    keys = {split(o)[0]: split(o)[1] for o in overrides}
    many = keys.get("sweep", "null") != "null" or keys.get("hydra.mode", "RUN") != "RUN"
    if many or {"-m", "--multirun"} & set(overrides):
        raise UserError(f"Python trains one run at a time; {by_command(overrides)} trains many")
    if flags := [o for o in overrides if o.partition("=")[0] in FLAGS]:
        raise UserError(f"{flags[0]} is for the command line: {by_command(overrides)}")
    return composed("train", as_text(overrides))


def by_command(overrides: Sequence[str]) -> str:
    """How to ask for the same on the command line."""
    return f"{command('train')} {shlex.join(overrides)}"


@contextmanager
def in_the_same_words(typed: Sequence[str]) -> Iterator[None]:
    """Raises as exceptions what the command line ends with.

    Raises:
        UserError: for its exit code 2.
        RunFailed: for its exit code 3.
    """
    try:
        yield
    except (UserError, RunFailed):
        raise
    except Exception as e:
        code, message = outcome(e, "train", typed) or (1, "")
        if code == 1:
            raise
        raise (UserError if code == 2 else RunFailed)(message) from e
