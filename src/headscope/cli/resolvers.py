"""What `${…}` in `conf/` may ask for beside what Hydra offers. Importing this registers it."""

from omegaconf import OmegaConf

from headscope.cli.folders import free
from headscope.installed import command

OmegaConf.register_new_resolver("free", free, use_cache=True, replace=True)  # a folder of its own for a run
OmegaConf.register_new_resolver("command", command, replace=True)  # how to type a command
