"""Resolvers for `${…}` in `conf/`, in addition to Hydra's own. Importing this module registers them.

`${free:outputs/DAY/TIME-NAME}` is a new folder for a run or a sweep; `${command:train}` is the command for the shell.
"""

import atexit
import contextlib
from itertools import count
from pathlib import Path

from omegaconf import OmegaConf

from headscope.installed import command


def free(wanted: str) -> str:
    """Creates the folder `wanted`, with the suffix -2, -3… if it already exists, and returns its path.

    At exit the folder is removed if it is empty.
    """
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
