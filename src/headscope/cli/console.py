"""Log lines that leave a progress bar whole: both are written by one rich console."""

import logging


class ConsoleHandler(logging.Handler):
    """Writes plain lines to standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        import rich

        try:
            rich.get_console().print(self.format(record), soft_wrap=True, highlight=False, markup=False)
        except Exception:
            self.handleError(record)
