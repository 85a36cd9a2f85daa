"""What every command needs from the shell: streams that cannot fail, and mistakes reported in one line."""

import argparse
import errno
import io
import os
import shlex
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

from headscope.errors import UserError


class Parser(argparse.ArgumentParser):
    """Arguments of the small commands; a mistake in them is one line too."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the arguments")


def argument(before: str, path: object) -> str:
    """A path after `resume=`, say, in a command that we print for a shell, where a leading ~ would be a home folder."""
    return shlex.quote(f"{before}{'./' if str(path).startswith('~') else ''}{path}")


def run(main: Callable[[], None]) -> NoReturn:
    """Calls a small command's main function and exits: 0 done, 2 the user's mistake, 130 Ctrl-C."""
    make_streams_safe()
    try:
        main()
        sys.stdout.flush()
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        reader_left()
    sys.exit(0)


def make_streams_safe(outlive_reader: bool = False) -> None:
    """Lets any text be printed in any locale, on streams that may be closed. Called before anything is printed.

    What the encoding lacks is escaped: `PYTHONIOENCODING=ascii` gives \\u2713 for a check mark.

    Args:
        outlive_reader: drop output once its reader has left (`| head -1`) rather than raise BrokenPipeError.
    """
    _open_closed()
    for name in ("stdout", "stderr"):
        stream: TextIO = getattr(sys, name) or open(("stdout", "stderr").index(name) + 1, "w", closefd=False)  # noqa: SIM115
        if outlive_reader and isinstance(stream, io.TextIOWrapper):
            stream.flush()
            raw = _Outliving(stream.fileno(), "wb", closefd=False)
            buffer = io.BufferedWriter(raw)  # type: ignore[type-var]
            stream = io.TextIOWrapper(buffer, encoding=stream.encoding, line_buffering=True)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, stream)


class _Outliving(io.FileIO):
    """A file whose reader may leave, or a terminal that may be closed: what is written afterwards is dropped."""

    def write(self, content: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError as e:
            if e.errno not in (errno.EPIPE, errno.EIO):
                raise
            return len(content)


def reader_left() -> None:
    """Sends what is still buffered for standard output nowhere, so that flushing it at exit raises nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed() -> None:
    """Opens the null device for each standard stream that is closed (`>&-`), before a file of ours gets its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one


def own_standard_input() -> bool:
    """Whether standard input is a pipe or a file that was given to this command alone.

    A command in a `while read` loop shares it with the shell that reads the list, and must not take the list's lines.
    """
    try:
        ours = os.fstat(0)
    except OSError:
        return False
    try:
        shared = os.path.samestat(ours, os.stat(f"/proc/{os.getppid()}/fd/0"))  # noqa: PTH116
    except OSError:  # not Linux
        shared = False
    return not shared and not os.isatty(0) and not os.path.samestat(ours, os.stat(os.devnull))  # noqa: PTH116
