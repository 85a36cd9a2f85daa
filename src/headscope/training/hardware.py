"""What machine this is, and what follows for a run: accelerator, devices, strategy, precision, kernels."""

import platform
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from headscope.errors import UserError
from headscope.training.options import TrainerOptions
from headscope.waiting import our_cores


@dataclass(frozen=True)
class Machine:
    """A description of a machine, complete enough to choose from."""

    cpu: str = "CPU"
    cores: int = 1
    amx: bool = False  #: tile registers, which make bf16 matrix products fast
    avx512_bf16: bool = False  #: products of bf16 pairs, twice as fast as fp32
    gpus: tuple[str, ...] = ()  #: names of the CUDA devices
    bf16: bool = False  #: the CUDA devices compute in bf16 natively
    triton: bool = False  #: torch.compile can generate kernels for them
    mps: bool = False

    @staticmethod
    def here() -> "Machine":
        """This one."""
        cuda = torch.cuda.is_available()
        return Machine(
            cpu=_cpu_name(),
            cores=our_cores(),
            amx=_has("amx_tile"),
            avx512_bf16=_has("avx512_bf16"),
            gpus=tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())) if cuda else (),
            bf16=cuda and torch.cuda.is_bf16_supported(including_emulation=False),
            triton=cuda and torch.utils._triton.has_triton(),
            mps=torch.backends.mps.is_available(),
        )


@dataclass(frozen=True)
class Choice:
    """What a run uses, and why."""

    accelerator: str
    devices: int
    strategy: str
    precision: str
    fused: bool
    compile: bool
    reason: str

    def __str__(self) -> str:
        parts = [f"{self.accelerator} x {self.devices}", self.precision]
        parts += [name for name in ("fused", "compile") if getattr(self, name)]
        parts += [self.strategy] if self.strategy != "auto" else []
        return f"{', '.join(parts)}: {self.reason}"


#: Lightning's short names of precisions.
PRECISIONS: dict[str | int, str] = {32: "32-true", 16: "16-mixed", "bf16": "bf16-mixed", 64: "64-true"}
LONG = 2000  #: steps from which compiling is expected to pay for itself on a GPU


def choose(machine: Machine, options: TrainerOptions) -> Choice:
    """What to use on a machine; what the options name is kept. A pure function.

    Raises:
        UserError: the machine or the precision cannot do what the options ask for.
    """
    accelerator = options.accelerator
    if accelerator == "auto":
        accelerator = "gpu" if machine.gpus else "mps" if machine.mps else "cpu"
    if accelerator == "gpu" and not machine.gpus:
        raise UserError("trainer.accelerator=gpu, but no CUDA device was found; use trainer=cpu or trainer=auto")
    if accelerator == "mps" and not machine.mps:
        raise UserError("trainer.accelerator=mps, but this machine has none; use trainer=cpu or trainer=auto")

    if accelerator == "gpu":
        number = len(machine.gpus)
        wanted = number if options.devices == "auto" else options.devices
        if wanted > number:
            raise UserError(f"trainer.devices={wanted}, but {number} CUDA device(s) were found; use at most {number}")
        pays = machine.triton and machine.bf16 and options.max_steps >= LONG
        precision = "bf16-mixed" if machine.bf16 else "16-mixed"
        reason = f"{machine.gpus[0]} {'has' if machine.bf16 else 'lacks'} native bf16"
        choice = Choice("gpu", wanted, "auto", precision, True, pays, reason)
    elif accelerator == "mps":
        choice = Choice("mps", 1, "auto", "32-true", False, False, "Apple GPU")
    else:
        if options.devices != "auto" and options.devices > machine.cores:
            raise UserError(f"trainer.devices={options.devices}, but there are {machine.cores} cores; use at most that")
        precision = "bf16-mixed" if machine.amx or machine.avx512_bf16 else "32-true"
        fast = "AMX" if machine.amx else "AVX512-BF16" if machine.avx512_bf16 else "no fast bf16"
        reason = f"{machine.cpu}, {machine.cores} cores, {fast}"
        choice = Choice(
            "cpu", 1 if options.devices == "auto" else options.devices, "auto", precision, True, False, reason
        )

    if choice.devices * options.num_nodes > 1:
        if accelerator == "mps":
            raise UserError("an Apple GPU is one device; use trainer.devices=1")
        choice = replace(choice, strategy="ddp")
    if options.strategy != "auto":
        choice = replace(choice, strategy=options.strategy)
    if options.precision != "auto":
        choice = replace(choice, precision=PRECISIONS.get(options.precision, str(options.precision)))
    if choice.precision == "16-mixed" and accelerator == "cpu":
        raise UserError("trainer.precision=16-mixed needs a GPU; on a CPU use bf16-mixed or 32-true")
    if choice.precision == "64-true" and accelerator == "mps":
        raise UserError("trainer.precision=64-true needs a CPU or a CUDA device; on an Apple GPU use 32-true")
    if choice.precision == "16-mixed":
        if options.fused:  # its gradients are still multiplied by the scaler's factor where they are clipped
            raise UserError("trainer.fused=true cannot clip gradients of precision 16-mixed; use trainer.fused=null")
        choice = replace(choice, fused=False)
    elif options.fused is not None:
        choice = replace(choice, fused=options.fused)
    if options.compile is not None:
        choice = replace(choice, compile=options.compile)
    return choice


@cache
def bf16_is_fast(device: torch.device) -> bool:
    """Whether a device multiplies matrices in bf16 faster than in fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and (_has("amx_tile") or _has("avx512_bf16"))


def _has(instructions: str) -> bool:
    """Whether this CPU, and the torch on it, know some instructions."""
    return bool(getattr(torch.cpu, f"_is_{instructions}_supported", bool)())


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
