"""Training: pairs of runs that must have equal results, to the bit where possible."""

import csv
import json
import math

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.plugins.precision import MixedPrecision

from headscope.data.windows import IGNORE
from headscope.run.history import History
from headscope.training.module import LanguageModule, token_loss
from tests.conftest import Short, fit, shell


def weights(module):
    return {k: v.clone() for k, v in module.model.state_dict().items()}


def test_the_same_seed_gives_bit_identical_runs_and_another_does_not():
    first, again, other = (weights(fit(dropout=0.2, seed=s)[1]) for s in (1, 1, 2))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_accumulation_of_4_equals_a_batch_4_times_as_large():
    _, whole = fit(batch_size=8, steps=10)
    trainer, parts = fit(batch_size=2, accumulate=4, steps=10)
    assert trainer.global_step == 10
    for a, b in zip(weights(whole).values(), weights(parts).values(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)
    assert whole.step_loss.item() == pytest.approx(parts.step_loss.item(), abs=1e-5)


def test_validation_is_the_mean_over_every_target():
    history = History()
    trainer, module = fit(steps=4, callbacks=[history])
    val = trainer.datamodule.corpus.val
    model = module.model.eval()
    nats = count = 0
    for x, y in val.once(1):
        logits = model(x).double().log_softmax(-1)
        for t in range(x.shape[1]):
            if y[0, t] != IGNORE:
                nats -= logits[0, t, y[0, t]].item()
                count += 1
    assert count == len(val.ids) - 1
    assert history.history[-1]["val_loss"] == pytest.approx(nats / count, abs=1e-5)
    assert [h["step"] for h in history.history] == [4]


def test_the_first_loss_is_ln_v():
    _, module = fit(steps=1, lr=1e-9)
    size = len(module.trainer.datamodule.corpus.tokenizer)
    assert module.step_loss.item() == pytest.approx(math.log(size), abs=0.05)


def test_one_batch_is_learned_by_heart():
    _, module = fit(steps=150, batch_size=2, same=True, lr=1e-2)
    assert module.step_loss.item() < 0.05


def test_the_last_step_validates_whatever_the_interval():
    history = History()
    fit(steps=7, accumulate=3, callbacks=[history], source=Short(tokens=3000))
    assert [h["step"] for h in history.history] == [7]


@pytest.mark.parametrize("limit", [None, 1.0])
@pytest.mark.parametrize("norm", [0.3, 1 - 1e-7, 1.0, 2.5, math.inf, math.nan])
def test_gradients_are_clipped_as_pytorch_clips_them(limit, norm):
    ours, theirs = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        p.grad = torch.randn_like(p) * 1e-3
        q.grad = p.grad.clone()
    scale = norm / torch.nn.utils.get_total_norm([p.grad for p in ours.parameters()])
    for p in (*ours.parameters(), *theirs.parameters()):
        p.grad *= scale
    module = LanguageModule(ours, None, None, {})
    module.configure_gradient_clipping(None, limit)
    if limit is not None:
        wanted = torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit)
        assert module.grad_norm.item() == pytest.approx(wanted.item(), nan_ok=True)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p.grad.nan_to_num(7.0), q.grad.nan_to_num(7.0))


def test_loss_is_cross_entropy_with_padding_left_out():
    logits, y = torch.randn(2, 5, 11), torch.randint(11, (2, 5))
    y[1, 3:] = IGNORE
    rows = [(logits[b, t], y[b, t]) for b in range(2) for t in range(5) if y[b, t] != IGNORE]
    by_hand = sum(F.cross_entropy(a, c) for a, c in rows) / 8
    torch.testing.assert_close(token_loss(logits, y), by_hand)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_an_fp16_scaler_that_overflows_is_no_loss_that_is_not_finite():
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    _, module = fit(steps=5, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    assert scaler.get_scale() < 2.0**127, "the scaler must have overflowed"
    assert not module.grad_norm.isfinite()
    assert module._unchecked == [], "every loss was checked and is finite"
    assert all(p.isfinite().all() for p in module.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "rounding"), [("adamw", 1e-3), ("muon", 5e-3)])
def test_two_processes_learn_what_one_does(tmp_path, optimizer, rounding):
    """With the same windows and total batch, averaged gradients differ from those of one process only by rounding.

    The losses of the first ten steps agree to a few last bits; training amplifies the remaining difference. Muon may
    orthogonalise in bf16, which turns a difference in a gradient's last bit into one in the last bit of bf16.
    """
    losses = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        done = shell(
            "train.py",
            "data=pydoc",
            f"optimizer={optimizer}",
            "trainer=ddp",
            "trainer.accelerator=cpu",
            "trainer.precision=32-true",
            f"trainer.devices={devices}",
            "trainer.threads=1",
            "trainer.max_steps=50",
            "trainer.val_check_interval=25",
            "trainer.log_every_n_steps=1",
            "logger=csv",
            f"hydra.run.dir={folder}",
        )
        assert done.returncode == 0, done.stderr
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["hardware"]["devices"] == devices
        (metrics,) = folder.rglob("metrics.csv")
        rows = csv.DictReader(metrics.read_text().splitlines())
        curve = [float(row["train/loss"]) for row in rows if row["train/loss"]]
        assert len(curve) == 50
        losses.append(curve + [h["val_loss"] for h in summary["history"]])
        assert len(list(folder.glob("*.log"))) == 1, "only rank 0 writes"
    if optimizer == "adamw":
        assert losses[1][:10] == pytest.approx(losses[0][:10], rel=1e-5)
    assert losses[1] == pytest.approx(losses[0], rel=rounding)


@pytest.mark.slow
def test_a_rank_may_have_nothing_to_validate(tmp_path):
    """One sentence is one window, so the second rank has nothing to validate; the loss equals that of one process."""
    losses = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        done = shell(
            *("train.py", "experiment=toy", "trainer=ddp", f"trainer.devices={devices}", "trainer.accelerator=cpu"),
            *("trainer.max_steps=20", "trainer.val_check_interval=10", "trainer.precision=32-true", "callbacks=none"),
            f"hydra.run.dir={folder}",
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        losses.append([h["val_loss"] for h in json.loads((folder / "summary.json").read_text())["history"]])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
