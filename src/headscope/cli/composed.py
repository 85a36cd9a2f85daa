"""What Hydra composed, as plain data, checked."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import yaml
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from headscope.cli import resolvers  # noqa: F401, registers them
from headscope.errors import UnknownKey, UserError
from headscope.installed import CONF
from headscope.plugins import conf_folders
from headscope.run.folder import flat

T = TypeVar("T")


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
        UserError: see `resolved`.
    """
    choices = dict(cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
        OmegaConf.update(cfg, "paths.run_dir", run_dir)
    return resolved(cfg), choices


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The config that Hydra hands to a main function, with every interpolation resolved.

    Raises:
        UserError: see `resolved`; or Hydra has changed the current folder.
    """
    if HydraConfig.initialized() and HydraConfig.get().job.chdir:
        raise UserError("hydra.job.chdir=true would move data, checkpoints and other relative paths; leave it out")
    return resolved(cfg)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """A composed config with every interpolation resolved.

    Raises:
        UserError: a key that has no default was not given.
    """
    if missing := OmegaConf.missing_keys(cfg):
        raise UserError(f"{min(missing)} is not given; add {min(missing)}=… to the command")
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))


def checked(config: dict[str, Any], schema: type[T], choices: Mapping[str, Any]) -> T:
    """A plain config as an instance of its schema, given the option of each group.

    Raises:
        UserError: see `config.schema.parse`; two options that do not fit each other are both named.
    """
    from headscope.config.schema import parse

    try:
        return parse(config, schema)
    except UnknownKey as e:
        group = e.key.partition(".")[0]
        for other, option in choices.items():
            if option and other not in (group, f"{group}s") and e.key in keys_of(other, str(option)):
                raise UserError(
                    f"{other}={option} sets {e.key}, which {group}={choices.get(group)} does not have; leave one out"
                ) from e
        raise


def keys_of(group: str, option: str) -> set[str]:
    """The keys that an option sets, with those of the options that it builds on."""
    files = [file for conf in (CONF, *conf_folders()) if (file := conf / group / f"{option}.yaml").exists()]
    if not files:
        return set()
    text = files[0].read_text(encoding="utf-8")
    content = yaml.safe_load(text) or {}
    package = text.partition("# @package ")[2].partition("\n")[0] or group
    prefix = "" if package == "_global_" else f"{package}."
    keys = {f"{prefix}{key}" for key in flat({k: v for k, v in content.items() if k != "defaults"})}
    bases = [base for base in content.get("defaults", ()) if isinstance(base, str) and base != "_self_"]
    return keys.union(*(keys_of(group, base) for base in bases))
