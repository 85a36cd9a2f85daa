"""Answers the question of `debug=overfit`: can the model memorise one batch?

Shapes: B batch, T positions.
"""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from headscope.data.windows import IGNORE
from headscope.run.recorder import SummaryCallback
from headscope.training.module import LanguageModule, token_loss

log = logging.getLogger(__name__)

#: The batch is memorised if the loss has come so close to the lowest possible loss that at most this part of the
#: distance from the loss of a uniform guess remains.
NEAR = 0.05
LISTED = 3  #: names of weights in a message


class Overfit(SummaryCallback):
    """Logs at the end of the run whether the model has memorised the batch on which every step trains.

    The loss is measured without dropout. The lowest possible loss is above 0 if a context in the batch has several
    continuations.
    """

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def on_train_end(self, trainer: Trainer, module: LanguageModule) -> None:
        batch = trainer.datamodule.train_dataloader().batch(0)  # type: ignore[attr-defined]
        x, y = (part.to(module.device) for part in batch)  # (B, T) each, this process's part of the batch
        logits = module.model.eval()(x)
        nats = token_loss(logits, y)
        loss, guess = nats.item(), math.log(logits.shape[-1])
        floor = lowest_loss(x, y, getattr(module.model, "context", x.shape[1]))
        memorised = loss - floor <= NEAR * (guess - floor)
        self.found = {"memorised_batch": memorised, "batch_loss": loss, "lowest_batch_loss": floor}
        weights = {name: p for name, p in module.model.named_parameters() if p.requires_grad}
        gradients = torch.autograd.grad(nats, [*weights.values()], allow_unused=True)
        learning = {name for name, g in zip(weights, gradients, strict=True) if g is not None and g.any()}
        idle = [name for name, _ in module.model.named_parameters() if name not in learning]
        lr = trainer.optimizers[0].param_groups[0]["initial_lr"]
        if memorised:
            advice = "the data, the regularisation and the number of steps, because the model itself can learn"
        elif idle:
            names = ", ".join(idle[:LISTED]) + ", …" * (len(idle) > LISTED)
            advice = f"the weights that no gradient reaches, which do not learn: {names}"
        else:
            steps = f"trainer.max_steps={4 * trainer.max_steps}"
            advice = f"{steps}, optimizer.lr={lr:g} 10 times lower and higher, a larger model, then the model's code"
        losses = f"its loss is {loss:.4f}, the lowest possible is {floor:.4f}, and a uniform guess has {guess:.4f} nats"
        log.info(f"can the model memorise one batch? {'yes' if memorised else 'no'}: {losses}")
        log.info(f"look next at {advice}")

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        return self.found


def lowest_loss(x: Tensor, y: Tensor, context: int) -> float:
    """Returns the lowest possible loss on a batch (B, T), in nats per token, for a model that reads `context` tokens.

    It is the mean entropy of the next token, given the tokens that the model reads before it.
    """
    following: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for inputs, targets in zip(x.tolist(), y.tolist(), strict=True):
        for t, target in enumerate(targets):
            if target != IGNORE:
                start = t + 1 - context  # negative at the beginning, where the model reads fewer tokens
                following[(min(start, 0), *inputs[max(start, 0) : t + 1])][target] += 1
    nats = sum(n * math.log(c.total() / n) for c in following.values() for n in c.values())
    return nats / sum(c.total() for c in following.values())
