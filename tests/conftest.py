"""Fixtures and functions for all tests: schemes, small models, a short training run, the command line."""

import logging
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from headscope import checkpoint
from headscope.data.corpus import Source
from headscope.data.datamodule import CorpusData
from headscope.data.pydoc import PyDoc
from headscope.model.position import Rotary
from headscope.model.transformer import TransformerLM
from headscope.training.module import LanguageModule
from headscope.training.optim import AdamW
from headscope.training.schedule import Constant
from tests import processes
from tests.model.schemes import ROWS

for number in (signal.SIGHUP, signal.SIGQUIT):  # `nohup` and background jobs ignore them, and so would our commands
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
settings.register_profile("fixed", derandomize=True)  # the same inputs in every run
settings.load_profile("fixed")
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # golden values and expected messages are for a CPU
ROOT = Path(__file__).resolve().parents[1]
ON_PAGE = [pytest.param(row.scheme, id=name) for name, row in ROWS.items() if row.on_page]
SCHEMES = [pytest.param(row.scheme, id=name) for name, row in ROWS.items()]


def filmed(frame, layer, head, t):
    """Returns the map of a head (T, T) from a frame of a film, with the precision of one byte."""
    i, j = np.tril_indices(t)
    found = np.zeros((t, t))
    found[i, j] = (frame.maps[layer, head] / 255.0) ** 2
    return found


def small(position=Rotary, dropout=0.0, vocab_size=11, d_model=16, n_heads=2, n_layers=2, block_size=16, seed=0):
    """Returns a small model with random matrices, because weights that start at zero would hide errors."""
    torch.manual_seed(seed)
    model = TransformerLM(vocab_size, d_model, n_heads, n_layers, block_size, dropout, position)
    for p in model.parameters():
        if p.ndim >= 2:
            torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5)
    return model


class Short(Source):
    """The first part of a source, so that validation is fast."""

    def __init__(self, source=None, tokens=6000):
        self.source, self.tokens = source or PyDoc(), tokens

    def load(self, block_size, tokenizer=None):
        whole = self.source.read
        self.source.read = lambda: whole()[: self.tokens]
        return self.source.load(block_size, tokenizer)


def fit(
    folder=None,
    *,
    steps=20,
    batch_size=8,
    accumulate=1,
    source=None,
    seed=1,
    lr=1e-3,
    callbacks=(),
    same=False,
    block_size=16,
    position=Rotary,
    dropout=0.0,
    make=None,
    log_every=5,
    plugins=None,
    optimizer=None,
):
    """Trains a small model in this process; returns the trainer and the module."""
    torch.manual_seed(seed)
    data = CorpusData(source or Short(), block_size, batch_size, accumulate, seed, same)
    size = len(data.corpus.tokenizer)
    model = make(size) if make else TransformerLM(size, 32, 2, 2, block_size, dropout, position)
    card = checkpoint.card(model, data.corpus.tokenizer, data={"name": data.corpus.name})
    module = LanguageModule(model, optimizer or partial(AdamW, lr=lr), Constant(), card, log_every)
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        accumulate_grad_batches=accumulate,
        val_check_interval=steps * accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        plugins=plugins,
    )
    trainer.fit(module, data)
    return trainer, module


def shell(*command, cwd=ROOT, timeout=300, stdin=None, **env):
    """Runs a command of the project as a user would; returns the finished process."""
    environment = {k: v for k, v in os.environ.items() if k != "HEADSCOPE_DATA_DIR"} | env
    if stdin is None and processes.can_fork(command, env):
        return processes.fork(command, cwd, environment, timeout)
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        env=environment,
        **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),
    )


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory):
    """Runs `train.py experiment=toy` once; returns the folder and the output."""
    folder = tmp_path_factory.mktemp("toy")
    done = shell("train.py", "experiment=toy", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="session")
def pydoc_run(tmp_path_factory):
    """Trains briefly on real text with dropout, RoPE and all other defaults; returns the folder and the output."""
    folder = tmp_path_factory.mktemp("pydoc")
    done = shell(
        "train.py",
        "data=pydoc",
        "position=rope",
        "model.dropout=0.1",
        "trainer.max_steps=30",
        "trainer.val_check_interval=10",
        f"hydra.run.dir={folder}",
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="session")
def one_step(tmp_path_factory):
    """The folder of a run of one step; tests change copies of it."""
    from tests.inside import TINY, train  # imports this module

    folder = tmp_path_factory.mktemp("one") / "run"
    code, printed = train(*TINY, f"hydra.run.dir={folder}")
    assert code == 0, printed
    return folder
