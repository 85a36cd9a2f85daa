"""A log handler for the terminal, which shares one rich console with the progress bar."""

import logging

from headscope.shell import printable


class ConsoleHandler(logging.Handler):
    """Writes plain log lines to standard output, above the progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        import rich

        if record.exc_info:
            return  # the traceback goes to the log file; the command prints a one-line error
        try:
            console, line = rich.get_console(), self.format(record)
            line = printable(line) if console.is_terminal else line
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        except Exception:
            self.handleError(record)
