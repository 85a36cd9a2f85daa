"""Composes `conf/` with Hydra and returns plain data.

Importing this module registers two resolvers for `${…}` in `conf/`: `${free:outputs/DAY/TIME-NAME}` is a new folder for
a run or a sweep, and `${command:train}` is the shell command that runs train.
"""

import atexit
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from headscope.config.context import context
from headscope.config.overrides import RESUME, flat
from headscope.errors import UserError
from headscope.installed import CONF, command
from headscope.training.restarts import own_folder


@dataclass(frozen=True)
class Composed:
    """A composed config as plain data, with its origin."""

    config: dict[str, Any]  #: every key, resolved; recorded in the run's folder and in its checkpoints
    overrides: Sequence[str] = ()  #: the overrides as the user typed them
    choices: Mapping[str, Any] = field(default_factory=dict)  #: the chosen option of each group
    resume: str | None = None  #: the folder of the run or sweep to resume, from `resume=DIR`; None for a new run
    started: float = 0.0  #: `time.monotonic()` when the process or the job began
    context: Sequence[str] = ()  #: what else the user typed that the run depends on; see `headscope.config.context`
    command: str = ""  #: in Python, the shell command that trains the same; error messages name it

    @property
    def run_dir(self) -> str:
        """The folder of the run; raises `UserError` if the config is not one of a run."""
        try:
            return str(self.config["paths"]["run_dir"])
        except (KeyError, TypeError) as e:
            begin = "a config file for --config-name begins with defaults: [train, _self_]"
            raise UserError(f"the config has no key paths.run_dir, so it is not the config of a run; {begin}") from e


def compose_with_hydra(name: str, overrides: Sequence[str]) -> DictConfig:
    """Composes the config of a script, including Hydra's own node, without affecting other uses of Hydra.

    Of the flags among the overrides, only `--config-dir=DIR` has an effect. `hydra.compose` needs Hydra's global state.
    The loader does not, but is private to Hydra; tests/python/test_composing.py fails if its interface changes.
    """
    if not OmegaConf.has_resolver("now"):
        setup_globals()
    base = version.VersionBase.instance()
    before = base.version_base
    version.setbase("1.3")
    try:
        search_path = create_config_search_path(str(CONF))
        for folder in (o.partition("=")[2] for o in overrides if o.startswith("--config-dir=")):
            search_path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))  # stays last
        words = [f"hydra.job.name={name}", *(o for o in overrides if not o.startswith("-"))]
        return ConfigLoaderImpl(search_path).load_configuration(name, words, RunMode.RUN)
    finally:
        base.version_base = before


def known_keys(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the unresolved values of the config of a script by dotted key, without Hydra's own node."""
    tree = cast(dict[str, Any], OmegaConf.to_container(compose_with_hydra(name, overrides)))
    return flat({key: value for key, value in tree.items() if key != "hydra"})


def as_data(cfg: DictConfig, hydra: Any, started: float = 0.0, shell_command: str = "") -> Composed:
    """Returns a job's config as plain data, with the overrides and choices from `hydra`, Hydra's own node."""
    resume = OmegaConf.select(hydra, RESUME.removeprefix("hydra."))
    overrides, choices = list(hydra.overrides.task), dict(hydra.runtime.choices)
    return Composed(plain(cfg), overrides, choices, resume, started, context(hydra), shell_command)


def split_off_hydra(cfg: DictConfig, run_dir: str = "", started: float = 0.0, shell_command: str = "") -> Composed:
    """Removes Hydra's node from a config and returns the rest as plain data, for a run in the folder `run_dir`."""
    hydra = cfg.hydra
    with open_dict(cfg):
        del cfg["hydra"]
        OmegaConf.update(cfg, "paths.run_dir", run_dir)
    return as_data(cfg, hydra, started, shell_command)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Returns a config with every interpolation resolved; a required key without a value keeps `???`."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))


def new_folder(wanted: str) -> str:
    """Creates the folder `wanted`, or `wanted`-2, -3…, and returns its path; removes it at exit if it is empty.

    If torchrun has started a run again, returns the folder of that run.
    """
    if own := own_folder(Path(wanted)):
        return str(own)
    for number in count(1):
        path = Path(wanted if number == 1 else f"{wanted}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError:
            break  # the run will report that it cannot write to this folder
        atexit.register(_remove_empty, path.absolute())  # a program may change its current folder
        return str(path)
    return wanted


def _remove_empty(path: Path) -> None:
    for folder in (path, path.parent):  # the run's folder, which may be gone, and the day's folder
        with contextlib.suppress(OSError):
            folder.rmdir()


OmegaConf.register_new_resolver("free", new_folder, use_cache=True, replace=True)
OmegaConf.register_new_resolver("command", command, replace=True)
