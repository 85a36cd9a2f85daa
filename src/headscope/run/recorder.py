"""What a logger of ours can keep beside scalars: one interface, so that callbacks never ask which logger it is.

Scalars go through Lightning's own `Logger.log_metrics`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Recorder:
    """Mixed into a Lightning `Logger`. Lightning calls a logger on the main process only."""

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        """Keeps a picture (height, width, 3)."""

    def record_text(self, tag: str, text: str, step: int) -> None:
        """Keeps a text as it is, whatever is in it."""

    def record_end(self, choices: Mapping[str, Any], metrics: Mapping[str, float], step: int) -> None:
        """Keeps what was chosen for the run and its final metrics, for a table over runs."""

    def resume_at(self, step: int) -> None:
        """Called before a resumed run logs anything: drops what was logged after `step`, all of it for 0."""
