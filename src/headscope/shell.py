"""Runs a command: its streams accept any text, and errors become one line and an exit code. Quotes shell commands."""

import argparse
import errno
import io
import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from headscope.config.overrides import TEXTS
from headscope.errors import FULL, NO_CURRENT_FOLDER, Interrupted, JobsFailed, RunFailed, UserError, not_written

if TYPE_CHECKING:
    from rich.console import Console

#: A path or a name in the quotes of `headscope.config.overrides.as_text`, which adds them again to the typed word.
_QUOTED_TEXT = re.compile(rf"""(\+*(?:{"|".join(map(re.escape, sorted(TEXTS)))})=)'(?!null'|\?\?\?')([^'",\\]+)'""")

HIDDEN = {"Cc", "Cf", "Zl", "Zp"}  #: Unicode categories of control characters, formats and separators of lines
SHOWN = "\n\t\u200d"  #: exceptions; U+200D joins emoji


class Parser(argparse.ArgumentParser):
    """The argument parser for report, walk and export; it raises a `UserError` for an invalid argument."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the arguments")


@cache
def console() -> "Console":
    """Returns the console for standard output, which all progress bars and tables share.

    It prints every text as it is: rich would otherwise replace `:x:` with an emoji and interpret `[bold]`.
    """
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def shell_command(words: Sequence[str]) -> str:
    """Returns the words as one line, which a shell splits into words with the same meaning."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    word = _QUOTED_TEXT.sub(r"\1\2", word) if _QUOTED_TEXT.fullmatch(word) else word
    can_be_in_double_quotes = not re.search(r'["$`\\!]', word)
    return f'"{word}"' if "'" in word and can_be_in_double_quotes else shlex.quote(word)


def argument(before: str, path: object) -> str:
    """Returns, for example, `resume=PATH`, quoted for a shell; a leading ~ is protected from expansion."""
    return shell_command([f"{before}{'./' if str(path).startswith('~') else ''}{path}"])


def printable(text: str) -> str:
    """Returns a text with control characters and invisible ones, except newlines and tabs, as escapes such as \\x1b.

    A terminal obeys control characters: a file could change the terminal's title, or hide other output.
    """
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in HIDDEN and c not in SHOWN else c for c in text)


# Error numbers for a path from the user that cannot be used.
_UNUSABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}
_UNUSABLE |= {errno.ENOENT}

Outcome = tuple[int, str] | None  #: an exit code and a message; None for an unexpected error


def expected_outcome(error: BaseException) -> Outcome:
    """Returns the exit code and the message of an expected error; None for any other error."""
    match error:
        case UserError() | RunFailed() | JobsFailed() | Interrupted():
            return error.exit_code, str(error)
        case KeyboardInterrupt():
            return 130, "interrupted"
        case FileNotFoundError() if error.filename is None:
            return 2, NO_CURRENT_FOLDER
        case OSError() if error.errno in FULL or (error.errno in _UNUSABLE and error.filename):
            return expected_outcome(not_written(error, error.filename or "the output"))
    return None


def run(
    main: Callable[[], Any], outcome: Callable[..., Outcome] = expected_outcome, outlive_reader: bool = False
) -> NoReturn:
    """Calls a command's main function and exits with 0; on an error, exits with the code and message from `outcome`."""
    make_streams_safe(outlive_reader)
    code = 0
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        reader_left()
    except (Exception, Interrupted, KeyboardInterrupt) as e:
        found = outcome(e)
        if found is None:
            raise
        code, message = found
        try:
            sys.stdout.flush()
        except OSError:  # the disk is still full
            reader_left()
        print(printable(message if code > 128 else f"error: {message}"), file=sys.stderr)
    sys.exit(code)


def make_streams_safe(outlive_reader: bool = False) -> None:
    """Makes it possible to print any text in any locale, even to closed streams. Must be called before any output.

    Characters outside the encoding are escaped: `PYTHONIOENCODING=ascii` prints \\u2713 for a check mark. With
    `outlive_reader`, output is discarded without an error if its reader has ended (`| head -1`) or the disk is full.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # a closed stream (`>&-`): otherwise, the next opened file would get its number
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is `number`
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
    """A file that discards its output if its reader has ended, its terminal is closed, or the disk is full."""

    def write(self, content: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError as e:
            if e.errno not in {errno.EPIPE, errno.EIO, *FULL}:
                raise
            return len(content)


def reader_left() -> None:
    """Discards the buffered standard output, so that flushing it at exit raises no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def own_standard_input() -> bool:
    """Whether standard input is a pipe or file for this process alone; a `while read` loop shares it with the shell."""
    ours = os.fstat(0)
    try:
        shared = os.path.samestat(ours, os.stat(f"/proc/{os.getppid()}/fd/0"))  # noqa: PTH116
    except OSError:  # not Linux
        shared = False
    return not shared and not os.isatty(0) and not os.path.samestat(ours, os.stat(os.devnull))  # noqa: PTH116
