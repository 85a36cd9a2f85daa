"""Chooses the steps with pictures. They are few, because TensorBoard keeps only 10 pictures per tag."""

import math
from collections.abc import Sequence

from lightning import Trainer

PICTURES = 10  #: per tag


def validations(max_steps: int, interval: int) -> list[int]:
    """Returns the steps at which a run validates. The last step is always one of them."""
    return [*range(interval, max_steps, interval), max_steps]


def picture_steps(steps: Sequence[int], pictures: int = PICTURES) -> list[int]:
    """Returns step 0 and up to `pictures` - 1 validation steps, including the first and the last.

    They are spaced by about the same factor, because most roles of heads form early.
    """
    n, chosen = min(pictures - 1, len(steps)), [0]
    for i in range(n):
        wanted = steps[0] * (steps[-1] / steps[0]) ** (i / (n - 1) if n > 1 else 1)
        later = [s for s in steps if s > chosen[-1]]
        free = later[: len(later) - (n - 1 - i)]  # leaves enough steps for the remaining pictures
        chosen.append(min(free, key=lambda s: abs(math.log(s / wanted))))
    return chosen


def is_picture_step(trainer: Trainer) -> bool:
    """Returns whether pictures are drawn at the current step."""
    interval = max(int(trainer.val_check_interval) // trainer.accumulate_grad_batches, 1)  # 0 in a trial run
    planned = picture_steps(validations(trainer.max_steps, interval))
    return trainer.state.fn == "fit" and trainer.global_step in planned
