"""What Hydra composes, as plain data."""

from collections.abc import Sequence
from typing import Any, cast

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from headscope.config import resolvers  # noqa: F401, registers them
from headscope.errors import UserError
from headscope.installed import CONF


def composed(name: str, overrides: Sequence[str]) -> DictConfig:
    """What Hydra composes from `conf/`, its own node included, beside whatever Hydra does in this process.

    No global of Hydra is set: `hydra.compose` needs one, and its loader, which is private, does not.
    tests/python/test_composing.py fails first if that changes.
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


def apart(cfg: DictConfig, run_dir: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """A composed config as plain data without Hydra's node, for a run in a folder, and the option of each group.

    Raises:
        UserError: see `plain`.
    """
    choices = dict(cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
        OmegaConf.update(cfg, "paths.run_dir", run_dir)
    return plain(cfg), choices


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A composed config with every interpolation resolved.

    Raises:
        UserError: a key that has no default was not given.
    """
    if missing := OmegaConf.missing_keys(cfg):
        raise UserError(f"{min(missing)} is not given; add {min(missing)}=… to the command")
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
