"""Packages of the user's own: their classes may be a `_target_`, and Hydra searches their `conf/`.

They are named by HEADSCOPE_PLUGINS=a,b, which the processes below this one inherit, or by an entry point of the group
`headscope.plugins`. Only what is named is ever imported.
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
    """Dotted names of the packages, each once."""
    typed = (name.strip() for name in os.environ.get(NAMED, "").split(","))
    return list(dict.fromkeys([*filter(None, typed), *_declared(tuple(sys.path))]))


@cache
def _declared(path: tuple[str, ...]) -> list[str]:
    """Packages that name themselves. Looking through all that is installed takes 10 ms, and a config asks often."""
    return [point.module for point in entry_points(group="headscope.plugins")]


def belongs(module: str) -> bool:
    """Whether a module is one of a plugin."""
    return any(f"{module}.".startswith(f"{name}.") for name in names())


def imported(module: str) -> ModuleType:
    """A module of a plugin.

    Raises:
        UserError: it cannot be imported, whatever the reason.
    """
    try:
        return import_module(module)
    except Exception as e:
        raise UserError(f"the plugin {module} cannot be imported ({type(e).__name__}: {e})") from e


def conf_folders() -> list[Path]:
    """The folder `conf` of each plugin that has one. Imports no plugin.

    Raises:
        UserError: there is no such package.
    """
    found = []
    for name in names():
        try:
            spec = find_spec(name)
        except (ImportError, ValueError, AttributeError):  # a parent is missing, or it is no name
            spec = None
        if spec is None:
            raise UserError(
                f"there is no package {name!r}, which {NAMED} names; install it, or put the folder that holds it on"
                " PYTHONPATH"
            )
        found += [Path(place) / "conf" for place in spec.submodule_search_locations or ()]
    return [folder for folder in found if folder.is_dir()]
