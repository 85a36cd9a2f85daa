"""Plugins: packages of the user whose classes may be a `_target_` and whose `conf/` Hydra searches.

A plugin is named by HEADSCOPE_PLUGINS=a,b, which child processes inherit, or by an entry point of the group
`headscope.plugins`. Only named packages are imported.
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
    """Returns the dotted names of the packages, each once."""
    typed = (name.strip() for name in os.environ.get(NAMED, "").split(","))
    return list(dict.fromkeys([*filter(None, typed), *_declared(tuple(sys.path))]))


@cache
def _declared(path: tuple[str, ...]) -> list[str]:
    """Returns the plugins with an entry point. Cached, because reading all installed packages takes 10 ms."""
    return [point.module for point in entry_points(group="headscope.plugins")]


def belongs(module: str) -> bool:
    """Whether a module belongs to a plugin."""
    return any(f"{module}.".startswith(f"{name}.") for name in names())


def imported(module: str) -> ModuleType:
    """Imports a module of a plugin and returns it; turns every error of the import into a `UserError`."""
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
        except (ImportError, ValueError, AttributeError):  # the parent package is missing, or the name is not valid
            spec = None
        if spec is None:
            remedy = "install it, or put the folder that holds it on PYTHONPATH"
            raise UserError(f"there is no package {name!r}, which {NAMED} names; {remedy}")
        found += [Path(place) / "conf" for place in spec.submodule_search_locations or ()]
    return [folder for folder in found if folder.is_dir()]
