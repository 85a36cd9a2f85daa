"""Composes `conf/` with Hydra and returns plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from headscope.config import resolvers  # noqa: F401, registers them
from headscope.config.overrides import RESUME
from headscope.installed import CONF


@dataclass(frozen=True)
class Composed:
    """A composed config as plain data, with its origin.

    Args:
        config: every key, resolved; recorded in the run's folder and in its checkpoints.
        overrides: as the user typed them.
        choices: the chosen option of each group.
        resume: the folder of the run or sweep to resume, from `resume=DIR`; None for a new run.
        started: `time.monotonic()` when the process, or this job of it, began.
        command: the command line that starts several processes, for a caller that cannot; empty otherwise.
    """

    config: dict[str, Any]
    overrides: Sequence[str] = ()
    choices: Mapping[str, Any] = field(default_factory=dict)
    resume: str | None = None
    started: float = 0.0
    command: str = ""


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


def as_data(cfg: DictConfig, hydra: Any, started: float = 0.0, command: str = "") -> Composed:
    """Returns a job's config as plain data, with the overrides and choices in `hydra`, Hydra's own node."""
    resume = OmegaConf.select(hydra, RESUME.removeprefix("hydra."))
    return Composed(plain(cfg), list(hydra.overrides.task), dict(hydra.runtime.choices), resume, started, command)


def split_off_hydra(cfg: DictConfig, run_dir: str = "", started: float = 0.0, command: str = "") -> Composed:
    """Returns a config that contains Hydra's node as plain data, for a run in the folder `run_dir`."""
    hydra = cfg.hydra
    with open_dict(cfg):
        del cfg["hydra"]
        OmegaConf.update(cfg, "paths.run_dir", run_dir)
    return as_data(cfg, hydra, started, command)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Returns a config with every interpolation resolved; a required key without a value stays `???`."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
