"""Seconds spent in training."""

import time

import torch


class Clock:
    """Counts seconds while it runs, and none while it stands."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._began: float | None = None  # None while it stands

    def start(self) -> None:
        """Runs, from now on if it stood."""
        if self._began is None:
            self._began = time.perf_counter()

    def stop(self) -> None:
        """Stands."""
        self._before, self._began = self.seconds, None

    @property
    def seconds(self) -> float:
        """So far. On a GPU that may be less than the work asked for so far takes: see `finish`."""
        return self._before + (0.0 if self._began is None else time.perf_counter() - self._began)


def finish(device: torch.device) -> None:
    """Waits for work that a GPU was asked for and has not finished, so that a clock counts it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
