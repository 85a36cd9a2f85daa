#!/usr/bin/env bash
# Lightning 2.6.6: a resumed run uses the patience of EarlyStopping from its checkpoint, not the one in the program.
#
# Surprise: `Trainer.fit(ckpt_path=…)` restores how long the monitored value has not improved, as it must. It also
# restores `patience`, which the program has just passed to the constructor. A run that early stopping ended can
# therefore not be continued with more patience: it stops again after one validation. Nothing warns, and `monitor`,
# `mode` and `min_delta` are not restored, so that a resumed run mixes settings of two programs.
#
# Why it matters here: "resume with more patience" is the first thing to try after a run stopped early. Headscope refuses
# a new patience at a resume and says what to do instead.
#
# Seen with lightning 2.6.6, torch 2.13.0, Python 3.11 on 2026-12-01:
#   new run,     EarlyStopping(patience=3):  ended after 4 epochs
#   resumed run, EarlyStopping(patience=10): ended after 5 epochs, its patience is 3
source "$(dirname "$0")/common.sh"
with_packages lightning==2.6.6 torch==2.13.0
python - 2>/dev/null <<'P'
import tempfile
import warnings

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

warnings.filterwarnings("ignore")
data = torch.utils.data.DataLoader(torch.zeros(8, 1), batch_size=8)


class Constant(LightningModule):
    """A model whose validation loss never improves."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        return self.layer(batch).mean()

    def validation_step(self, batch, index):
        self.log("val/loss", 1.0)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


def fit(patience, checkpoint=None):
    stopping = EarlyStopping("val/loss", patience=patience)
    quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False)
    trainer = Trainer(max_epochs=30, callbacks=[stopping], accelerator="cpu", **quiet)
    trainer.fit(Constant(), data, data, ckpt_path=checkpoint, weights_only=True)
    return trainer, stopping


trainer, stopping = fit(patience=3)
print(f"new run,     EarlyStopping(patience=3):  ended after {trainer.current_epoch} epochs")
assert trainer.current_epoch == 4
checkpoint = f"{tempfile.mkdtemp()}/run.ckpt"
trainer.save_checkpoint(checkpoint)
trainer, stopping = fit(patience=10, checkpoint=checkpoint)
print(
    f"resumed run, EarlyStopping(patience=10): ended after {trainer.current_epoch} epochs,"
    f" its patience is {stopping.patience}"
)
assert (trainer.current_epoch, stopping.patience) == (5, 3)
P
