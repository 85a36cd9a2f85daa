"""Answers the question of `debug=overfit`: can the model memorise one batch?

Shapes: B batch, T positions.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from headscope.data.datamodule import CorpusData
from headscope.data.windows import IGNORE, Batch
from headscope.model.transformer import LanguageModel
from headscope.run.recorder import SummaryCallback
from headscope.training.module import LanguageModule, token_loss

log = logging.getLogger(__name__)

NEAR = 0.05  #: part of the distance from the first loss to the lowest possible one that may remain
FALLING = 0.9  #: a loss below this fraction of the loss after half of the steps is still falling
LISTED = 3  #: names of weights in a message


class Overfit(SummaryCallback):
    """Measures the loss on the batch on which the run trains, and says at the end whether the model has memorised it.

    The losses are measured without dropout. The lowest possible loss is above 0 if a context in the batch has several
    continuations.
    """

    def __init__(self) -> None:
        self.first: float | None = None  #: the loss before the first step, in nats per token
        self.middle: float | None = None  #: the loss after half of the steps
        self.found: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if self.first is None:
            self.first = self._measure(trainer, module)

    def on_train_batch_end(
        self, trainer: Trainer, module: LanguageModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.step_ended and module.step_ended == trainer.max_steps // 2:
            self.middle = self._measure(trainer, module)

    def on_train_end(self, trainer: Trainer, module: LanguageModule) -> None:
        x, y = _batch(trainer, module)
        loss, floor = self._measure(trainer, module), lowest_loss(x, y, getattr(module.model, "context", x.shape[1]))
        first = self.first or loss
        memorised = loss - floor <= NEAR * max(first - floor, 0.0)
        self.found = {"memorised_batch": memorised, "batch_loss": loss, "lowest_batch_loss": floor}
        losses = f"its loss went from {first:.4f} to {loss:.4f}, and the lowest possible loss is {floor:.4f} nats"
        log.info(f"can the model memorise one batch? {'yes' if memorised else 'no'}: {losses}")
        log.info(f"look next at {self._advice(trainer, module, memorised, loss)}")

    def _advice(self, trainer: Trainer, module: LanguageModule, memorised: bool, loss: float) -> str:
        if memorised:
            return "the data, the regularisation and the number of steps, because the model itself can learn"
        idle = _without_gradient(module.model, _batch(trainer, module))
        if idle:
            names = ", ".join(idle[:LISTED]) + ", …" * (len(idle) > LISTED)
            return f"the weights that no gradient reaches, which do not learn: {names}"
        lr = trainer.optimizers[0].param_groups[0]["initial_lr"]
        if self.middle is not None and loss < FALLING * self.middle:
            return f"more steps, because the loss still falls: trainer.max_steps={4 * trainer.max_steps}"
        return f"optimizer.lr={lr:g}: try values 10 times lower and higher, then a larger model, then the model's code"

    @torch.no_grad()
    def _measure(self, trainer: Trainer, module: LanguageModule) -> float:
        return _loss(module.model, _batch(trainer, module)).item()

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        return self.found

    def state_dict(self) -> dict[str, Any]:
        return {"first": self.first, "middle": self.middle}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.first, self.middle = state_dict["first"], state_dict["middle"]


def lowest_loss(x: Tensor, y: Tensor, context: int) -> float:
    """Returns the lowest possible loss on a batch (B, T), in nats per token, for a model that reads `context` tokens.

    It is the mean entropy of the next token, given the tokens that the model reads before it.
    """
    following: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for inputs, targets in zip(x.tolist(), y.tolist(), strict=True):
        for t, target in enumerate(targets):
            if target != IGNORE:
                following[tuple([-1] * (context - t - 1) + inputs[max(t + 1 - context, 0) : t + 1])].append(target)
    counts = [Counter(targets) for targets in following.values()]
    nats = -sum(n * torch.tensor(n / c.total()).log().item() for c in counts for n in c.values())
    return abs(nats) / sum(c.total() for c in counts)


def _batch(trainer: Trainer, module: LanguageModule) -> Batch:
    """Returns this process's part of the batch on which every step trains."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, CorpusData)
    x, y = data.train_dataloader().batch(0)
    return x.to(module.device), y.to(module.device)


def _loss(model: LanguageModel, batch: Batch) -> Tensor:
    """Returns the loss on a batch without dropout, in nats per token."""
    training = model.training
    loss = token_loss(model.eval()(batch[0]), batch[1])
    model.train(training)
    return loss


def _without_gradient(model: LanguageModel, batch: Batch) -> list[str]:
    """Returns the names of the weights whose gradient is zero on a batch, including frozen weights."""
    names, weights = zip(*((name, p) for name, p in model.named_parameters() if p.requires_grad), strict=True)
    gradients = dict(zip(names, torch.autograd.grad(_loss(model, batch), weights, allow_unused=True), strict=True))
    return [name for name, _ in model.named_parameters() if (g := gradients.get(name)) is None or not g.any()]
