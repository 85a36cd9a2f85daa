"""What Hydra composed, as plain data that the other rooms read."""

from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from headscope.errors import UserError


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A composed config with every interpolation resolved.

    Raises:
        UserError: a key that has no default was not given.
    """
    if missing := OmegaConf.missing_keys(cfg):
        raise UserError(f"{min(missing)} is not given; add {min(missing)}=… to the command")
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
