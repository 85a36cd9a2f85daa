"""What Hydra composed, as plain data, checked."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from headscope.errors import UnknownKey, UserError
from headscope.installed import CONF
from headscope.run.folder import flat

T = TypeVar("T")


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A composed config with every interpolation resolved.

    Raises:
        UserError: a key that has no default was not given, or Hydra has changed the current folder.
    """
    if HydraConfig.initialized() and HydraConfig.get().job.chdir:
        raise UserError("hydra.job.chdir=true would move data, checkpoints and other relative paths; leave it out")
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
    file = CONF / group / f"{option}.yaml"
    if not file.exists():
        return set()
    text = file.read_text(encoding="utf-8")
    content = yaml.safe_load(text) or {}
    package = text.partition("# @package ")[2].partition("\n")[0] or group
    prefix = "" if package == "_global_" else f"{package}."
    keys = {f"{prefix}{key}" for key in flat({k: v for k, v in content.items() if k != "defaults"})}
    bases = [base for base in content.get("defaults", ()) if isinstance(base, str) and base != "_self_"]
    return keys.union(*(keys_of(group, base) for base in bases))
