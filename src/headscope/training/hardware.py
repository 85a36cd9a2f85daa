"""Chooses accelerator, devices, strategy, precision and kernels that suit this machine."""

import platform
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from headscope.errors import UserError
from headscope.training.options import LIGHTNING_NAMES, TrainerOptions
from headscope.waiting import our_cores


@dataclass(frozen=True)
class Machine:
    """The properties of a machine that the choice of hardware depends on."""

    cpu: str = "CPU"
    cores: int = 1
    amx: bool = False  #: has tile registers, which make bf16 matrix products fast
    avx512_bf16: bool = False  #: multiplies bf16 numbers in pairs, twice as fast as fp32
    gpus: tuple[str, ...] = ()  #: names of the CUDA devices
    bf16: bool = False  #: the CUDA devices compute in bf16 natively
    triton: bool = False  #: torch.compile can generate kernels for the CUDA devices
    mps: bool = False

    @staticmethod
    def here() -> "Machine":
        """Returns the properties of this machine."""
        cuda = torch.cuda.is_available()
        return Machine(
            cpu=_cpu_name(),
            cores=our_cores(),
            amx=_cpu_supports("amx_tile"),
            avx512_bf16=_cpu_supports("avx512_bf16"),
            gpus=tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())) if cuda else (),
            bf16=cuda and torch.cuda.is_bf16_supported(including_emulation=False),
            triton=cuda and torch.utils._triton.has_triton(),
            mps=torch.backends.mps.is_available(),
        )


@dataclass(frozen=True)
class Choice:
    """The hardware settings of a run, and the reason for them."""

    accelerator: str
    devices: int
    strategy: str
    precision: str
    fused: bool
    compile: bool
    reason: str
    nodes: int = 1
    threads: int | None = None  #: None: as many as torch chooses

    @property
    def processes(self) -> int:
        """The number of processes of the run, one per device."""
        return self.devices * self.nodes

    def __str__(self) -> str:
        parts = [f"{self.accelerator} x {self.devices}", self.precision]
        parts += [name for name in ("fused", "compile") if getattr(self, name)] + ["ddp"] * (self.strategy == "ddp")
        return f"{', '.join(parts)}: {self.reason}"


LONG = 2000  #: in runs of at least this many steps, compiling is expected to save time on a GPU


def choose(machine: Machine, options: TrainerOptions) -> Choice:
    """Returns the settings for a run: the given options, and for all other settings, values that suit the machine."""
    accelerator = options.accelerator
    if accelerator == "auto":
        accelerator = "gpu" if machine.gpus else "mps" if machine.mps else "cpu"
    if accelerator == "gpu" and not machine.gpus:
        raise UserError("trainer.accelerator=gpu, but no CUDA device was found; use trainer=cpu or trainer=auto")
    if accelerator == "mps" and not machine.mps:
        raise UserError("trainer.accelerator=mps, but this machine has no Apple GPU; use trainer=cpu or trainer=auto")
    fields = ("devices", "strategy", "precision", "fused", "compile")
    given = {name: value for name in fields if (value := getattr(options, name)) not in (None, "auto")}
    choice = replace(_settings_for(accelerator, machine, options.max_steps), **given)
    choice = replace(choice, nodes=options.num_nodes, threads=options.threads)
    choice = replace(choice, precision=LIGHTNING_NAMES.get(choice.precision, choice.precision))

    gpus, cores = len(machine.gpus), machine.cores
    if accelerator == "gpu" and choice.devices > gpus:
        raise UserError(f"trainer.devices={choice.devices}, but {gpus} CUDA device(s) were found; use at most {gpus}")
    if accelerator == "cpu" and choice.devices > cores:
        raise UserError(f"trainer.devices={choice.devices}, but only {cores} cores were found; use at most {cores}")
    if choice.processes > 1:
        if accelerator == "mps":
            raise UserError("an Apple GPU is one device; use trainer.devices=1")
        choice = replace(choice, strategy="ddp")
    if choice.precision == "64-true" and accelerator == "mps":
        raise UserError("trainer.precision=64-true needs a CPU or a CUDA device; on an Apple GPU use 32-true")
    if choice.precision == "16-mixed":
        if accelerator == "cpu":
            raise UserError("trainer.precision=16-mixed needs a GPU; on a CPU use bf16-mixed or 32-true")
        if options.fused:  # clipping would see gradients that the scaler has not unscaled yet
            raise UserError("trainer.fused=true cannot clip gradients in 16-mixed precision; use trainer.fused=null")
        choice = replace(choice, fused=False)
    return choice


def _settings_for(accelerator: str, machine: Machine, steps: int) -> Choice:
    """Returns the settings that suit a machine, before the options of the config replace some of them."""
    if accelerator == "gpu":
        reason = f"{machine.gpus[0]} {'has' if machine.bf16 else 'lacks'} native bf16"
        precision = "bf16-mixed" if machine.bf16 else "16-mixed"
        compiled = machine.triton and machine.bf16 and steps >= LONG
        return Choice("gpu", len(machine.gpus), "auto", precision, True, compiled, reason)
    if accelerator == "mps":
        return Choice("mps", 1, "auto", "32-true", False, False, "Apple GPU")
    fast = "AMX" if machine.amx else "AVX512-BF16" if machine.avx512_bf16 else ""
    reason = f"{machine.cpu}, {machine.cores} cores, {fast or 'no fast bf16'}"
    return Choice("cpu", 1, "auto", "bf16-mixed" if fast else "32-true", True, False, reason)


@cache
def bf16_is_fast(device: torch.device) -> bool:
    """Whether a device multiplies matrices in bf16 faster than in fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and (_cpu_supports("amx_tile") or _cpu_supports("avx512_bf16"))


def _cpu_supports(instructions: str) -> bool:
    """Whether this CPU and this version of torch support an instruction set."""
    return bool(getattr(torch.cpu, f"_is_{instructions}_supported", bool)())


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
