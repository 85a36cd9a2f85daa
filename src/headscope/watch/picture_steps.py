"""Which validations are drawn: few enough that TensorBoard, which keeps 10 pictures per tag, shows them all."""

from collections.abc import Sequence

from lightning import Trainer

PICTURES = 10  #: per tag


def validations(max_steps: int, interval: int) -> list[int]:
    """The steps at which a run validates; always the last."""
    return [*range(interval, max_steps, interval), max_steps]


def picture_steps(steps: Sequence[int], pictures: int = PICTURES) -> list[int]:
    """At most `pictures` of the steps, spread evenly from the first to the last."""
    n = min(pictures, len(steps))
    return [steps[round(i * (len(steps) - 1) / max(n - 1, 1))] for i in range(n)] if n > 1 else list(steps[-1:])


def is_picture_step(trainer: Trainer) -> bool:
    """Whether the validation that has just ended is drawn."""
    interval = max(int(trainer.val_check_interval) // trainer.accumulate_grad_batches, 1)  # 0 in a trial run
    planned = picture_steps(validations(trainer.max_steps, interval))
    return trainer.state.fn == "fit" and trainer.global_step in planned
