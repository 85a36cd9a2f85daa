"""The state of the random number generators in the checkpoint."""

import random
from typing import Any

import torch
import torch.distributed as dist
from lightning import Trainer

from headscope.training.module import Callback, LanguageModule


class RngState(Callback):
    """Saves the state of every rank's generators in the checkpoint, and restores it on resume.

    Lightning does not, so dropout would differ after a resume.
    """

    @property
    def state_key(self) -> str:
        """The key in the checkpoint; older checkpoints have the same."""
        return "Randomness"

    def __init__(self) -> None:
        self._states: list[dict[str, Any]] = []

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.global_rank < len(self._states):
            state = self._states[trainer.global_rank]
            torch.set_rng_state(state["torch"])
            version, numbers, gauss = state["python"]
            random.setstate((version, tuple(numbers), gauss))
            if torch.cuda.is_available() and "cuda" in state:
                torch.cuda.set_rng_state(state["cuda"])

    def state_dict(self) -> dict[str, Any]:
        version, numbers, gauss = random.getstate()
        mine = {"torch": torch.get_rng_state(), "python": [version, list(numbers), gauss]}
        if torch.cuda.is_available():
            mine["cuda"] = torch.cuda.get_rng_state()
        states: list[Any] = [mine]
        if dist.is_available() and dist.is_initialized():
            states = [None] * dist.get_world_size()
            dist.all_gather_object(states, mine)  # every rank saves together
        return {"states": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._states = state_dict["states"]
