"""The LightningModule: one optimizer, one schedule, losses in nats per token.

Shapes: B batch, T positions, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningModule
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from headscope.data.windows import IGNORE, Batch
from headscope.errors import RunFailed
from headscope.model.transformer import LanguageModel
from headscope.training.schedule import Schedule

MOST_UNCHECKED = 1000  #: losses that are kept until one looks whether they are finite


def token_loss(logits: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """The cross-entropy of logits (B, T, V) and targets (B, T), over those that are none of `IGNORE`."""
    return F.cross_entropy(logits.float().flatten(0, 1), y.flatten(), ignore_index=IGNORE, reduction=reduction)


class LanguageModule(LightningModule):
    """Trains a language model by next-token cross-entropy.

    A step is one parameter update, whatever the accumulation: `train/loss` is the mean over the step's batches, and
    `val/loss` the mean over every target of the validation split, across all ranks; `val/accuracy` is the part of them
    that the most likely token meets.

    Args:
        model: ids (B, T) to logits (B, T, V).
        optimizer: built from the model when training starts.
        schedule: factor on the learning rate.
        card: what a checkpoint says of itself beside the weights; plain data.
        log_every: steps between two entries of `train/loss`.
        compile: let torch.compile make kernels of the model.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimizer: Callable[..., Optimizer],
        schedule: Schedule,
        card: dict[str, Any],
        log_every: int = 10,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.build_optimizer, self.schedule, self.card = model, optimizer, schedule, card
        self.log_every, self.compiled = log_every, compile
        self.step_losses: list[Tensor] = [torch.zeros(())]  #: nats per token, of the batches of the last step
        self.grad_norm: Tensor = torch.zeros(())  #: of its gradient, before clipping
        self.last_norm = float("nan")
        self.step_ended = 0  #: by the last batch; 0 if it ended none
        self._parts: list[Tensor] = []  # of the step that goes on
        self._unchecked: list[tuple[int, Tensor]] = []  # steps and their losses, which are not known to be finite
        self._sums: list[Tensor] = []

    def configure_model(self) -> None:
        if self.compiled:
            self.model.compile()  # in place, so that the names of the weights stay

    def configure_optimizers(self) -> Any:
        optimizer = self.build_optimizer(self.model)
        steps = self.trainer.max_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Lightning restores the optimizer's options with its state; those of the config replace them."""
        optimizer, scheduler = self.trainer.optimizers[0], self.trainer.lr_scheduler_configs[0].scheduler
        for i, asked in enumerate(self.build_optimizer(self.model).param_groups):
            kept = {"params", "fused"}  # the state was made for this kernel
            optimizer.param_groups[i].update({k: v for k, v in asked.items() if k not in kept})
            scheduler.base_lrs[i] = optimizer.param_groups[i]["initial_lr"] = asked["lr"]
            factor = self.schedule(scheduler.last_epoch, self.trainer.max_steps)
            optimizer.param_groups[i]["lr"] = asked["lr"] * factor

    @property
    def step_loss(self) -> Tensor:
        """Of the step that last ended, in nats per token; the mean over its batches."""
        return torch.stack(self.step_losses).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch  # (B, T) each
        loss = token_loss(self.model(x), y)
        self._parts.append(loss.detach())
        return loss

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        parameters = list(self.model.parameters())
        norm = self.grad_norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        if gradient_clip_val is None:
            return
        # PyTorch multiplies every gradient by 1 when the norm is under the limit, so that a GPU need not wait for the
        # norm. A CPU has nothing to wait for, and the multiplication takes 2% of a small model's step.
        if norm.is_cpu and norm + 1e-6 <= gradient_clip_val:  # 1e-6 as in clip_grads_with_norm_
            return
        clip_grads_with_norm_(parameters, gradient_clip_val, norm)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        step = self.step_ended = self.trainer.global_step + 1
        self.step_losses, self._parts = self._parts, []
        # Looked at where something is read anyway: a GPU never waits for it.
        self._unchecked += [(step, loss) for loss in self.step_losses]
        if self.trainer.world_size > 1 and step % self.log_every == 0:
            self.step_losses = [self.trainer.strategy.reduce(self.step_loss, reduce_op="mean")]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.step_ended = 0

    def at_log_step(self) -> bool:
        """In `on_train_batch_end`: a step has just ended, and it is one to log."""
        return self.step_ended > 0 and self.step_ended % self.log_every == 0

    def report(self, metrics: dict[str, float]) -> None:
        """Writes scalars to the logger at the number of steps done; nowhere if there is no logger."""
        for logger in self.trainer.loggers:
            logger.log_metrics(metrics, self.trainer.global_step)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.at_log_step():
            self.check_finite()
            self.last_norm = self.grad_norm.item()
            self.report({"train/loss": self.step_loss.item()})
        elif len(self._unchecked) > MOST_UNCHECKED:
            self.check_finite()
        if self.trainer.global_step >= self.trainer.max_steps:
            self.trainer.should_stop = True  # makes the last step validate, whatever the interval

    def on_validation_epoch_start(self) -> None:
        self._sums = [torch.zeros(3, device=self.device)]  # a rank may have nothing to validate

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch  # (B, T) each
        logits = self.model(x)  # (B, T, V)
        loss = token_loss(logits, y, "sum")
        self._sums.append(torch.stack((loss, (y != IGNORE).sum().to(loss), (logits.argmax(-1) == y).sum().to(loss))))

    def on_validation_epoch_end(self) -> None:
        total = torch.stack(self._sums).cpu().double().sum(0)  # nats, targets, right answers
        if self.trainer.world_size > 1:
            total = self.trainer.strategy.reduce(total.to(self.device), reduce_op="sum").cpu()
        loss = total[0] / total[1]
        self._unchecked.append((self.trainer.global_step, loss.float().to(self.device)))
        self.check_finite()
        accuracy = total[2] / total[1]
        self.log("val/loss", loss.float(), logger=False)  # for the checkpoint callbacks
        self.log("val/accuracy", accuracy.float(), logger=False)  # for the summary
        self.report({"val/loss": loss.item(), "val/accuracy": accuracy.item()})

    def check_finite(self) -> None:
        """Stops a run whose loss is not finite; called at log steps, at validations and before each save.

        Raises:
            RunFailed: with the first such step, its learning rate, and what to try.
        """
        if not self._unchecked:
            return
        finite = torch.stack([loss for _, loss in self._unchecked]).isfinite().tolist()
        if all(finite):
            self._unchecked.clear()
            return
        if not self.trainer.optimizers:  # task=validate
            raise RunFailed(
                "the validation loss is not finite: the model's weights are damaged, or too large for this precision.\n"
                "Try another checkpoint, or trainer.precision=32-true."
            )
        step = self._unchecked[finite.index(False)][0]
        lr = self.trainer.optimizers[0].param_groups[0]["initial_lr"] * self.schedule(step - 1, self.trainer.max_steps)
        raise RunFailed(
            f"the loss at step {step} is not finite (lr {lr:.3g}, gradient norm at the last step logged"
            f" {self.last_norm:.3g}).\nTry a lower optimizer.lr, more schedule.warmup_steps, a lower"
            " trainer.gradient_clip_val, or trainer.precision=32-true.\nThe last good checkpoint, if any, was kept."
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.check_finite()
        checkpoint["headscope"] = self.card
