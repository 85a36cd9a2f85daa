"""The LightningModule, which trains, validates and checks that losses are finite; and the base class of callbacks.

Shapes: B batch, T positions, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import lightning
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

MAX_UNCHECKED = 1000  #: if more losses are unchecked, `check_finite` is called before the next log step


def token_loss(logits: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Returns the cross-entropy of logits (B, T, V) with targets (B, T) in nats, excluding `IGNORE` targets."""
    return F.cross_entropy(logits.float().flatten(0, 1), y.flatten(), ignore_index=IGNORE, reduction=reduction)


class Callback(lightning.Callback):
    """A callback that makes Lightning call only the hooks that a subclass defines.

    In every step, Lightning calls six hooks of each callback, even if a hook does nothing. With ten callbacks, this
    takes 0.1 ms. Lightning skips hooks that are None.
    """

    on_train_batch_start: Any = None
    on_before_zero_grad: Any = None
    on_before_backward: Any = None
    on_after_backward: Any = None
    on_before_optimizer_step: Any = None
    on_train_batch_end: Any = None


class LanguageModule(LightningModule):
    """Trains a language model by next-token cross-entropy.

    A step is one parameter update, however many batches are accumulated for it. Three metrics are logged: `train/loss`,
    the mean over the step's batches; `val/loss`, the mean over all targets of the validation split, across all ranks;
    `val/accuracy`, the fraction of these targets that the model considers the most likely token. Losses are in nats
    per token.

    `optimizer` builds the optimizer from the model when training starts. `card` is the description that each checkpoint
    stores with the weights, as plain data. `log_every` is the number of steps between two entries of `train/loss`.
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
        self.step_losses: list[Tensor] = [torch.zeros(())]  #: one loss per batch of the last complete step
        self.grad_norm: Tensor = torch.zeros(())  #: norm of the last complete step's gradient, before clipping
        self.last_norm = float("nan")  #: `grad_norm` at the last log step
        self.step_ended = 0  #: the step that the last batch completed, or 0
        self._batch_losses: list[Tensor] = []  # losses of the current step's batches
        self._unchecked: list[tuple[int, Tensor]] = []  # (step, loss) for each loss that `check_finite` has not seen
        self._sums: list[Tensor] = []  # per validation batch: nats, targets, correct predictions

    def configure_model(self) -> None:
        if self.compiled:
            self.model.compile()  # in place, which keeps the names of the weights

    def configure_optimizers(self) -> Any:
        optimizer = self.build_optimizer(self.model)
        steps = self.trainer.max_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Sets the optimizer's options to the config's values, because Lightning restores the checkpoint's values."""
        optimizer, scheduler = self.trainer.optimizers[0], self.trainer.lr_scheduler_configs[0].scheduler
        factor = self.schedule(scheduler.last_epoch, self.trainer.max_steps)
        configured = self.build_optimizer(self.model).param_groups
        for i, (group, wanted) in enumerate(zip(optimizer.param_groups, configured, strict=True)):
            kept = {"params", "fused"}  # the format of the restored state depends on `fused`
            group.update({k: v for k, v in wanted.items() if k not in kept})
            scheduler.base_lrs[i] = group["initial_lr"] = wanted["lr"]
            group["lr"] = wanted["lr"] * factor

    @property
    def step_loss(self) -> Tensor:
        """The mean loss over the batches of the last complete step, in nats per token."""
        return torch.stack(self.step_losses).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch  # (B, T) each
        loss = token_loss(self.model(x), y)
        self._batch_losses.append(loss.detach())
        return loss

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        parameters = list(self.model.parameters())
        norm = self.grad_norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        if gradient_clip_val is None:
            return
        # If the norm is below the limit, clip_grads_with_norm_ multiplies every gradient by 1, because a comparison
        # would make the CPU wait for the GPU. Without a GPU, the comparison is cheap, and skipping the multiplication
        # saves 2% of the time of a small model's step.
        if norm.is_cpu and norm + 1e-6 <= gradient_clip_val:  # clip_grads_with_norm_ also adds 1e-6
            return
        clip_grads_with_norm_(parameters, gradient_clip_val, norm)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        step = self.step_ended = self.trainer.global_step + 1
        self.step_losses, self._batch_losses = self._batch_losses, []
        # The losses are checked at the next log step, where the CPU waits for the GPU in any case.
        self._unchecked += [(step, loss) for loss in self.step_losses]
        if self.trainer.world_size > 1 and step % self.log_every == 0:
            self.step_losses = [self.trainer.strategy.reduce(self.step_loss, reduce_op="mean")]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.step_ended = 0

    def at_log_step(self) -> bool:
        """Whether the last batch completed a step that is logged; for use in `on_train_batch_end`."""
        return self.step_ended > 0 and self.step_ended % self.log_every == 0

    def report(self, metrics: dict[str, float]) -> None:
        """Writes scalars to every logger, at the current step."""
        for logger in self.trainer.loggers:
            logger.log_metrics(metrics, self.trainer.global_step)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.at_log_step():
            self.check_finite()
            self.last_norm = self.grad_norm.item()
            self.report({"train/loss": self.step_loss.item()})
        elif len(self._unchecked) > MAX_UNCHECKED:
            self.check_finite()
        if self.trainer.global_step >= self.trainer.max_steps:
            self.trainer.should_stop = True  # Lightning then validates after the last step, regardless of the interval

    def on_validation_epoch_start(self) -> None:
        self._sums = [torch.zeros(3, device=self.device)]  # zeros, because a rank may have no batch to validate

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch  # (B, T) each
        logits = self.model(x)  # (B, T, V)
        loss = token_loss(logits, y, "sum")
        self._sums.append(torch.stack((loss, (y != IGNORE).sum().to(loss), (logits.argmax(-1) == y).sum().to(loss))))

    def on_validation_epoch_end(self) -> None:
        total = torch.stack(self._sums).cpu().double().sum(0)  # nats, targets, correct predictions
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
        """Raises `RunFailed` if a loss is not finite; called at log steps, at validations and before each save."""
        finite = torch.stack([loss for _, loss in self._unchecked]).isfinite().tolist() if self._unchecked else []
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
            f"the loss at step {step} is not finite (lr {lr:.3g}, gradient norm at the last logged step"
            f" {self.last_norm:.3g}).\nTry a lower optimizer.lr, more schedule.warmup_steps, a lower"
            " trainer.gradient_clip_val, or trainer.precision=32-true.\nThe last good checkpoint, if any, was kept."
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.check_finite()
        checkpoint["headscope"] = self.card
