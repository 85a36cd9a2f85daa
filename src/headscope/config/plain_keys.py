"""The keys of a run's config whose types need no torch, so that a wrong value is refused before torch is imported."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from headscope.training.options import TrainerOptions


@dataclass(frozen=True)
class PlainKeys:
    """The keys of a run's config outside the groups, and the options of the Trainer."""

    name: str
    task: Literal["fit", "validate"]
    checkpoint: str | None
    init: str | None
    seed: Annotated[int, Ge(0), Lt(2**32)]
    batch_size: Annotated[int, Ge(1)]
    same_batch: bool
    trainer: TrainerOptions
