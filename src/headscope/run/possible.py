"""What can be tried of a config before any data is fetched: whether it builds, and whether this machine can run it."""

import torch

from headscope.config.keys import TrainConfig
from headscope.data.windows import share
from headscope.errors import UserError
from headscope.training.hardware import Choice, Machine, choose


def possible(config: TrainConfig) -> tuple[Machine, Choice]:
    """The machine and what to use of it.

    Raises:
        UserError: options that do not fit each other or this machine.
    """
    buildable(config)
    machine = Machine.here()
    try:
        choice = choose(machine, config.trainer)
    except ValueError as e:
        raise UserError(str(e)) from e
    share(config.batch_size, choice.devices * config.trainer.num_nodes)
    return machine, choice


def buildable(config: TrainConfig) -> None:
    """Tries what costs nothing.

    Raises:
        UserError: options that do not fit each other.
    """
    if config.task == "validate" and config.checkpoint is None:
        raise UserError("task=validate needs a model; add checkpoint=outputs/…/checkpoints/best.ckpt")
    try:
        with torch.device("meta"):
            config.model(1)
        config.optimizer(torch.nn.Linear(1, 1), False)
        config.schedule()
        config.data()
    except ValueError as e:
        raise UserError(str(e)) from e
