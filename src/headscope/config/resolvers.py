"""What `${…}` in `conf/` may ask for beside what Hydra offers. Importing this registers it.

`${free:outputs/DAY/TIME-NAME}` is a folder of its own for a run or a sweep; `${command:train}`, how to type a command.
"""

import atexit
import contextlib
from itertools import count
from pathlib import Path

from omegaconf import OmegaConf

from headscope.installed import command


def free(wanted: str) -> str:
    """The folder `wanted`, created here; with -2, -3… at its end if another process has created it.

    It is removed at exit if nothing was written to it.
    """
    for number in count(1):
        path = Path(wanted if number == 1 else f"{wanted}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError:
            break  # it cannot be written to, which the run reports
        atexit.register(_remove_empty, path)
        return str(path)
    return wanted


def _remove_empty(path: Path) -> None:
    for folder in (path, path.parent):  # the run's, which a refused run may have removed, and the day's
        with contextlib.suppress(OSError):
            folder.rmdir()


OmegaConf.register_new_resolver("free", free, use_cache=True, replace=True)
OmegaConf.register_new_resolver("command", command, replace=True)
