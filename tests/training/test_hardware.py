"""The settings that are chosen for different machines."""

from dataclasses import replace

import pytest

from headscope.training.hardware import Machine, choose
from headscope.training.options import TrainerOptions

AUTO = TrainerOptions(
    max_steps=5000,
    val_check_interval=100,
    log_every_n_steps=10,
    gradient_clip_val=1.0,
    accumulate_grad_batches=1,
    accelerator="auto",
    devices="auto",
    num_nodes=1,
    strategy="auto",
    precision="auto",
    fused=None,
    compile=None,
    threads=None,
    profiler=None,
)
LAPTOP = Machine("Laptop", 8)
AMX = Machine("Server", 2, amx=True, avx512_bf16=True)
ZEN4 = Machine("Server", 2, avx512_bf16=True)
H100 = Machine(cores=8, gpus=("H100",), bf16=True, triton=True)
T4 = Machine(gpus=("T4",), triton=True)
TWO = Machine(gpus=("H100", "H100"), bf16=True, triton=True)
MAC = Machine("Apple M3", 8, mps=True)


@pytest.mark.parametrize(
    ("machine", "accelerator", "devices", "strategy", "precision", "fused", "compiled"),
    [
        (LAPTOP, "cpu", 1, "auto", "32-true", True, False),
        (AMX, "cpu", 1, "auto", "bf16-mixed", True, False),
        (ZEN4, "cpu", 1, "auto", "bf16-mixed", True, False),
        (H100, "gpu", 1, "auto", "bf16-mixed", True, True),
        (T4, "gpu", 1, "auto", "16-mixed", False, False),
        (TWO, "gpu", 2, "ddp", "bf16-mixed", True, True),
        (MAC, "mps", 1, "auto", "32-true", False, False),
    ],
)
def test_what_the_machine_gets(machine, accelerator, devices, strategy, precision, fused, compiled):
    c = choose(machine, AUTO)
    assert (c.accelerator, c.devices, c.strategy, c.precision, c.fused, c.compile) == (
        accelerator,
        devices,
        strategy,
        precision,
        fused,
        compiled,
    )
    assert c.reason
    assert precision in str(c)


def test_the_reason_names_the_instructions():
    reasons = {choose(machine, AUTO).reason.rpartition(", ")[2] for machine in (LAPTOP, AMX, ZEN4)}
    assert reasons == {"no fast bf16", "AMX", "AVX512-BF16"}


def test_everything_can_be_overridden():
    given = replace(AUTO, accelerator="cpu", devices=2, precision="bf16-mixed", fused=False, compile=True)
    c = choose(H100, given)
    assert (c.accelerator, c.devices, c.strategy, c.precision) == ("cpu", 2, "ddp", "bf16-mixed")
    assert (c.fused, c.compile) == (False, True)


def test_a_short_run_is_not_compiled():
    assert not choose(H100, replace(AUTO, max_steps=100)).compile


def test_fp16_is_never_fused():
    """A fused optimizer unscales gradients only in its own step, so clipping before the step would use a wrong norm."""
    assert not choose(H100, replace(AUTO, precision=16)).fused
    assert not choose(T4, replace(AUTO, gradient_clip_val=None)).fused


@pytest.mark.parametrize(
    ("given", "precision"),
    [(32, "32-true"), (16, "16-mixed"), (64, "64-true"), ("bf16", "bf16-mixed"), ("bf16-true", "bf16-true")],
)
def test_a_short_name_of_a_precision_is_what_lightning_takes_it_for(given, precision):
    assert choose(H100, replace(AUTO, precision=given)).precision == precision


@pytest.mark.parametrize(
    ("machine", "change", "message"),
    [
        (LAPTOP, {"accelerator": "gpu"}, "no CUDA device was found; use trainer=cpu"),
        (LAPTOP, {"accelerator": "mps"}, "this machine has no Apple GPU"),
        (H100, {"devices": 3}, "use at most 1"),
        (LAPTOP, {"devices": 99}, "but only 8 cores were found; use at most 8"),
        (LAPTOP, {"precision": "16-mixed"}, "needs a GPU"),
        (LAPTOP, {"precision": 16}, "needs a GPU"),
        (MAC, {"precision": 64}, "on an Apple GPU use 32-true"),
        (T4, {"fused": True}, "cannot clip gradients in 16-mixed precision"),
        (MAC, {"num_nodes": 2}, "one device"),
    ],
)
def test_the_error_names_what_the_machine_lacks(machine, change, message):
    with pytest.raises(ValueError, match=message):
        choose(machine, replace(AUTO, **change))


def test_this_machine_can_be_described():
    machine = Machine.here()
    assert machine.cores >= 1
    assert choose(machine, AUTO).devices >= 1
