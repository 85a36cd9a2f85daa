"""Plugins: the user's packages, whose classes may be a `_target_` and whose `conf/` folders Hydra searches.

Plugins are named in HEADSCOPE_PLUGINS=a,b, which child processes inherit, or have an entry point in the group
`headscope.plugins`. Other packages are not imported.
"""

import os
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from headscope.errors import UserError

NAMED = "HEADSCOPE_PLUGINS"


def names() -> list[str]:
    """Returns the dotted names of the plugins, without duplicates."""
    typed = (name.strip() for name in os.environ.get(NAMED, "").split(","))
    return list(dict.fromkeys([*filter(None, typed), *_declared(tuple(sys.path))]))


@cache
def _declared(path: tuple[str, ...]) -> list[str]:
    """Returns the plugins with an entry point; cached, because reading the metadata of all packages takes 10 ms."""
    return [point.module for point in entry_points(group="headscope.plugins")]


def belongs(module: str) -> bool:
    """Whether a module is part of a plugin."""
    return any(f"{module}.".startswith(f"{name}.") for name in names())


def imported(module: str) -> ModuleType:
    """Imports a module of a plugin and returns it; turns every import error into a `UserError`."""
    try:
        return import_module(module)
    except Exception as e:
        raise UserError(f"the plugin {module} cannot be imported ({type(e).__name__}: {e})") from e


def conf_folders() -> list[Path]:
    """Returns the folder `conf` of each plugin that has one, without importing the plugin."""
    found = []
    for name in names():
        try:
            spec = find_spec(name)
        except (ImportError, ValueError, AttributeError):  # the parent package is missing, or the name is invalid
            spec = None
        if spec is None:
            remedy = "install it, or add its parent folder to PYTHONPATH"
            raise UserError(f"there is no package {name!r}, which {NAMED} names; {remedy}")
        found += [Path(place) / "conf" for place in spec.submodule_search_locations or ()]
    return [folder for folder in found if folder.is_dir()]
