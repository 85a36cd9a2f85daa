"""A log handler for the terminal, which shares one rich console with the progress bar."""

import logging

from headscope.shell import console, printable


class ConsoleHandler(logging.Handler):
    """Writes plain log lines to standard output, above the progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            return  # the traceback goes to the log file; the command prints a one-line error
        try:
            if console().is_terminal:
                console().print(printable(self.format(record)), soft_wrap=True)
            else:  # without a progress bar, rich is not needed, and it would replace tabs
                print(self.format(record), flush=True)
        except Exception:
            self.handleError(record)
