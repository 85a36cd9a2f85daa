"""Lightning's callback without what it costs in a step."""

from typing import Any

import lightning


class Callback(lightning.Callback):
    """A callback that Lightning calls in a step only for what it defines.

    Lightning calls six hooks of each callback in every step, empty ones too, which takes 0.1 ms for ten callbacks. It
    passes over a hook that is None.
    """

    on_train_batch_start: Any = None
    on_before_zero_grad: Any = None
    on_before_backward: Any = None
    on_after_backward: Any = None
    on_before_optimizer_step: Any = None
    on_train_batch_end: Any = None
