"""Which steps are drawn: few enough that TensorBoard, which keeps 10 pictures per tag, shows them all."""

import math
from collections.abc import Sequence

from lightning import Trainer

PICTURES = 10  #: per tag


def validations(max_steps: int, interval: int) -> list[int]:
    """The steps at which a run validates; always the last."""
    return [*range(interval, max_steps, interval), max_steps]


def picture_steps(steps: Sequence[int], pictures: int = PICTURES) -> list[int]:
    """Step 0, and so many of the validations that at most `pictures` are drawn: from the first to the last.

    Each is about the same factor later than the one before, because most of what heads do forms early.
    """
    n, chosen = min(pictures - 1, len(steps)), [0]
    for i in range(n):
        wanted = steps[0] * (steps[-1] / steps[0]) ** (i / (n - 1) if n > 1 else 1)
        later = [s for s in steps if s > chosen[-1]]
        free = later[: len(later) - (n - 1 - i)]  # the others still have to come
        chosen.append(min(free, key=lambda s: abs(math.log(s / wanted))))
    return chosen


def is_picture_step(trainer: Trainer) -> bool:
    """Whether the start, or the validation that has just ended, is drawn."""
    interval = max(int(trainer.val_check_interval) // trainer.accumulate_grad_batches, 1)  # 0 in a trial run
    planned = picture_steps(validations(trainer.max_steps, interval))
    return trainer.state.fn == "fit" and trainer.global_step in planned
