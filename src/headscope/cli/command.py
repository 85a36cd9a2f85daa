"""What stands between the shell and Hydra: arguments that Hydra's grammar cannot take, errors, exit codes."""

import atexit
import contextlib
import errno
import functools
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and what is said of it is said here

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from headscope.cli import folders  # noqa: F401, registers a resolver
from headscope.cli.arguments import for_hydra
from headscope.errors import FULL, Interrupted, JobsFailed, RunFailed, UserError
from headscope.shell import make_streams_safe

T = TypeVar("T")


def guarded(main: Callable[[DictConfig], T]) -> Callable[[DictConfig], T | None]:
    """Keeps an exception of the function below `hydra.main` for `run`, before Hydra prints lines of its own."""

    @functools.wraps(main)
    def keep(cfg: DictConfig) -> T | None:
        try:
            return main(cfg)
        except Exception as e:
            if os.getpid() not in _commanded:
                raise  # in a process of another launcher, which has its own way with errors
            _kept.append(e)
            return None

    return keep


_kept: list[Exception] = []
_commanded: list[int] = []  #: this process, if `run` will see what was kept; elsewhere this is a copy
started = time.time()  #: of this process, nearly


def run(main: Callable[[], Any], resume: bool = False) -> NoReturn:
    """Calls a command's main function and leaves with its exit code.

    0 done; 2 the user's mistake, in one line; 3 a run that went wrong in a way we foresee; 1 anything else, with its
    traceback; 130 and 143 told to stop, with what was done so far saved.

    Args:
        main: the function under `hydra.main`.
        resume: whether `resume=DIR` and `sweep=NAME` are known.
    """
    _commanded.append(os.getpid())
    threading.excepthook = _in_a_thread
    _end_with_parent()
    make_streams_safe(outlive_reader=resume)  # training goes on without a reader; writing has nothing left to do
    try:
        for_hydra(resume)
        main()
        if _kept:
            raise _kept[0]
    except UserError as e:
        _leave(2, str(e))
    except (HydraException, OmegaConfBaseException) as e:
        _leave(2, explain(e))
    except RunFailed as e:
        _leave(3, str(e))
    except JobsFailed as e:
        _leave(1, str(e))
    except RuntimeError as e:
        if not re.search(r"gloo|NCCL|by peer", str(e)):
            raise
        from headscope.run.ranks import DIED

        _leave(3, DIED)
    except ValueError as e:
        if "Config group override" not in str(e):
            raise
        _leave(2, explain(e))
    except Interrupted as e:
        if os.environ.get("LOCAL_RANK", "0") != "0":
            sys.exit(0)  # rank 0 speaks for all; Lightning kills every rank when one leaves with another code
        _leave(128 + e.signum, str(e))
    except KeyboardInterrupt:
        _leave(130, "interrupted")
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as e:
        if e.errno in FULL:
            _leave(3, f"the disk is full ({e.filename or 'while writing'}); make room and try again")
        if e.errno in _NOT_WRITABLE and e.filename:
            _leave(2, f"{e.filename} cannot be used ({e.strerror}); choose another folder with hydra.run.dir=…")
        raise
    _exit(0)


PARENT = "HEADSCOPE_PARENT"  #: set for what we start ourselves: the process without which it has no business


def _end_with_parent() -> None:
    """Lets a job of a sweep end when its sweep does, in whatever way, and a rank of a run when its first process does.

    Nothing else can be relied on: a parent that is killed tells nobody.
    """
    parent = os.environ.get(PARENT)
    os.environ[PARENT] = str(os.getpid())  # for the ranks that this process may start
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.3)
        os._exit(128 + signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _in_a_thread(args: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread hands a full disk to the main one, which says it; anything else is said at once."""
    if not (isinstance(args.exc_value, OSError) and args.exc_value.errno in FULL):
        threading.__excepthook__(args)


_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ENOENT}


def _leave(code: int, message: str) -> NoReturn:
    sys.stdout.flush()
    print(message if code > 128 else f"error: {message}", file=sys.stderr)
    _exit(code)


def _exit(code: int) -> NoReturn:
    """Leaves. Taking torch apart module by module would last a second more, for nothing."""
    if "torch" not in sys.modules:
        sys.exit(code)
    atexit._run_exitfuncs()  # what libraries have asked for: logs and event files are closed
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def explain(error: Exception) -> str:
    """A composition error of Hydra or OmegaConf in one line, with what is allowed."""
    text = " ".join(f"{error} {error.__cause__ or ''}".split())
    if m := re.search(r"Could not find '([\w/]+)/([^/']*)'.*?Available options in '[\w/]+': (.*)", text):
        group, option, options = m.groups()
        names = re.findall(r"[\w.-]+", options.split(" Config search path")[0])
        return f"there is no {group}={option}; conf/{group} has {', '.join(names)}"
    if m := re.search(r"Could not override '([\w.]+)'.*Key '\w+' is not in struct", text):
        from headscope.cli.keys import nearest  # only now: it composes the config once more

        return nearest(m.group(1))
    if m := re.search(r"Could not override '([\w/]+)'\. No match in the defaults list", text):
        return f"there is no group {m.group(1)} to choose from; python train.py --help lists the groups"
    if m := re.search(r"Config group override must be a string", text):
        return _numbered_option()
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r}; check its brackets, and put quotes inside quotes: \"key='a, b'\""
    if m := re.search(r"Ambiguous value for argument '(.*?)' 1\.", text):
        return f"{m.group(1)} has a comma: add -m for a sweep over its values, or write a list as [a, b]"
    if "hydra_submitit_launcher" in text:
        return "hydra/launcher=submitit_slurm needs an extra: pip install --editable '.[slurm]'"
    if m := re.search(r"Environment variable '(\w+)' not found", text):
        return (
            f"the environment variable {m.group(1)} is not set; quote the text in single quotes to keep ${{}} as it is"
        )
    text = re.sub(r" full_key: \S*| object_type=\S*| Config search path.*| See https?\S*", "", text)
    return f"{text[:300]}"


def _numbered_option() -> str:
    """`heads=8`: Hydra takes no number for an option's name."""
    conf = Path(sys.argv[0]).resolve().parent / "conf"
    for argument in sys.argv[1:]:
        group, _, option = argument.partition("=")
        if option == "null" and (conf / group).is_dir():
            return f"{group}=null cannot be said; ~{group} leaves it out"
        if option.isdigit() and (conf / group).is_dir():
            return f"there is no {group}={option}; conf/{group} has {', '.join(_options(conf / group))}"
    return "an option's name cannot be a number"


def _options(group: Path) -> list[str]:
    return sorted((p.stem for p in group.glob("*.yaml")), key=lambda name: (len(name), name))
