"""Learning-rate schedules, which multiply the optimizer's learning rate by a factor in [0, 1] at every step."""

import math
from typing import Annotated

from annotated_types import Ge, Gt, Le


class Schedule:
    """A linear warmup, then the curve that a subclass defines; by default a constant.

    Args:
        warmup_steps: steps until the factor first reaches one.
        final: the factor that decaying schedules reach after the last step.
    """

    def __init__(self, warmup_steps: Annotated[int, Ge(0)] = 0, final: Annotated[float, Ge(0), Le(1)] = 1.0) -> None:
        self.warmup_steps, self.final = warmup_steps, final

    def __call__(self, step: int, max_steps: int) -> float:
        """Returns the factor at a step, counted from 0."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(max_steps - self.warmup_steps, 1)
        return self.final + (1 - self.final) * self.shape(min(progress, 1.0))

    def shape(self, progress: float) -> float:
        """Returns the height of the curve: 1 after the warmup (progress 0), 0 after the last step (progress 1)."""
        return 1.0


class Constant(Schedule):
    """No decay after the warmup."""

    def __init__(self, warmup_steps: Annotated[int, Ge(0)] = 0) -> None:
        super().__init__(warmup_steps)


class Linear(Schedule):
    """Falls linearly to `final`."""

    def shape(self, progress: float) -> float:
        return 1 - progress


class Cosine(Schedule):
    """Falls to `final` along half a cosine (Loshchilov & Hutter 2017, without restarts)."""

    def shape(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2


class WSD(Schedule):
    """Warmup, stable, decay: constant until the last steps, then linear to `final` (Hu et al. 2024, MiniCPM).

    `decay` is the fraction of the steps after the warmup in which the factor falls.
    """

    def __init__(
        self,
        warmup_steps: Annotated[int, Ge(0)] = 0,
        final: Annotated[float, Ge(0), Le(1)] = 0.0,
        decay: Annotated[float, Gt(0), Le(1)] = 0.3,
    ) -> None:
        super().__init__(warmup_steps, final)
        self.decay = decay

    def shape(self, progress: float) -> float:
        return min((1 - progress) / self.decay, 1.0)
