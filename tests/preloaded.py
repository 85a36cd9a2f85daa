"""Imports the slow libraries of all commands, once, in the process whose forks run the commands."""

from headscope.cli.early import import_lightning

import_lightning()

for module in (
    "hydra._internal.hydra",
    "hydra.core.override_parser.overrides_parser",
    "lightning.pytorch.loggers",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "PIL.ImageDraw",
    "PIL.ImageFont",
    "pydantic",
    "rich.console",
    "torch.utils.tensorboard",
):
    __import__(module)
