"""Default folders of runs and sweeps: `${free:outputs/DAY/TIME-NAME}` in `conf/train.yaml`."""

import atexit
import contextlib
from itertools import count
from pathlib import Path


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
