"""Log lines above a progress bar: one rich console writes both."""

import logging


class ConsoleHandler(logging.Handler):
    """Writes plain lines to standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        import rich

        if record.exc_info:
            return  # a traceback is for the log file; the terminal gets a message
        try:
            rich.get_console().print(self.format(record), soft_wrap=True, highlight=False, markup=False)
        except Exception:
            self.handleError(record)
