"""Composes `conf/` with Hydra and returns plain data.

Importing this module registers two resolvers for `${…}` in `conf/`: `${free:outputs/DAY/TIME-NAME}` is a new folder for
a run or a sweep, and `${command:train}` is the command for the shell.
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
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from headscope.config.overrides import RESUME
from headscope.installed import CONF, command


@dataclass(frozen=True)
class Composed:
    """A composed config as plain data, with its origin."""

    config: dict[str, Any]  #: every key, resolved; recorded in the run's folder and in its checkpoints
    overrides: Sequence[str] = ()  #: as the user typed them
    choices: Mapping[str, Any] = field(default_factory=dict)  #: the chosen option of each group
    resume: str | None = None  #: the folder of the run or sweep to resume, from `resume=DIR`; None for a new run
    started: float = 0.0  #: `time.monotonic()` when the process, or this job of it, began
    command: str = ""  #: the command line that starts several processes, for a caller that cannot; empty otherwise


def compose_with_hydra(name: str, overrides: Sequence[str]) -> DictConfig:
    """Composes the config of a script, including Hydra's own node, without affecting other users of Hydra.

    `hydra.compose` needs Hydra's global state; the loader, which is private, does not.
    tests/python/test_composing.py fails if the loader's interface changes.
    """
    if not OmegaConf.has_resolver("now"):
        setup_globals()
    base = version.VersionBase.instance()
    before = base.version_base
    version.setbase("1.3")
    try:
        loader = ConfigLoaderImpl(create_config_search_path(str(CONF)))
        return loader.load_configuration(name, [f"hydra.job.name={name}", *overrides], RunMode.RUN)
    finally:
        base.version_base = before


def as_data(cfg: DictConfig, hydra: Any, started: float = 0.0, by_shell: str = "") -> Composed:
    """Returns a job's config as plain data, with the overrides and choices in `hydra`, Hydra's own node."""
    resume = OmegaConf.select(hydra, RESUME.removeprefix("hydra."))
    return Composed(plain(cfg), list(hydra.overrides.task), dict(hydra.runtime.choices), resume, started, by_shell)


def split_off_hydra(cfg: DictConfig, run_dir: str = "", started: float = 0.0, by_shell: str = "") -> Composed:
    """Returns a config that contains Hydra's node as plain data, for a run in the folder `run_dir`."""
    hydra = cfg.hydra
    with open_dict(cfg):
        del cfg["hydra"]
        OmegaConf.update(cfg, "paths.run_dir", run_dir)
    return as_data(cfg, hydra, started, by_shell)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Returns a config with every interpolation resolved; a required key without a value stays `???`."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))


def free(wanted: str) -> str:
    """Creates the folder `wanted`, or `wanted`-2, -3…, and returns its path; at exit it is removed if it is empty."""
    for number in count(1):
        path = Path(wanted if number == 1 else f"{wanted}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError:
            break  # the run reports that it cannot write there
        atexit.register(_remove_empty, path)
        return str(path)
    return wanted


def _remove_empty(path: Path) -> None:
    # The day's folder is removed too, and the run's folder may be gone already.
    for folder in (path, path.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()


OmegaConf.register_new_resolver("free", free, use_cache=True, replace=True)
OmegaConf.register_new_resolver("command", command, replace=True)
