"""A base class for callbacks that costs no time in a training step."""

from typing import Any

import lightning


class Callback(lightning.Callback):
    """A callback of which Lightning calls only the hooks that a subclass defines.

    In every step Lightning calls six hooks of each callback, also empty ones, which takes 0.1 ms for ten callbacks. It
    skips a hook that is None.
    """

    on_train_batch_start: Any = None
    on_before_zero_grad: Any = None
    on_before_backward: Any = None
    on_after_backward: Any = None
    on_before_optimizer_step: Any = None
    on_train_batch_end: Any = None
