"""The log handler of the terminal: the progress bar and the log lines share one rich console."""

import logging


class ConsoleHandler(logging.Handler):
    """Writes plain log lines to standard output, above the progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        import rich

        if record.exc_info:
            return  # the log file gets the traceback; the terminal gets a message
        try:
            rich.get_console().print(self.format(record), soft_wrap=True, highlight=False, markup=False)
        except Exception:
            self.handleError(record)
