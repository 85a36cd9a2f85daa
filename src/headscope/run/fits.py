"""Refuses a config that this machine cannot run: its processes, memory, and what its loggers need."""

import importlib.util
import io
import math
import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import torch
from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from headscope.config.keys import SAMPLED, TrainConfig
from headscope.errors import UserError
from headscope.installed import extra
from headscope.training.hardware import Choice

Loggers = Mapping[str, Callable[..., Logger] | None]  #: constructors, by name
TIMEOUT = 10  #: seconds that a server has to answer; MLflow's own client waits for minutes
LAYER = 100_000  #: bytes of the Python objects of a layer and its optimizer, measured with torch 2.13
GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  #: has the limit of a container in bytes, or "max"


def check_fits(config: TrainConfig, choice: Choice, command: str) -> None:
    """Raises `UserError` if this machine cannot run a config, or cannot use one of the loggers.

    `command` is the shell command that trains the same if this process is Python's, which cannot start others.
    """
    if command and choice.processes > 1:
        needed = f"{choice.devices} devices need one process each, and only the command line can start them"
        raise UserError(f"{needed}: {command}; in Python, add trainer.devices=1")
    if config.batch_size % choice.processes:
        sizes = f"batch_size={config.batch_size} cannot be shared by {choice.processes} processes"
        raise UserError(f"{sizes}; use a multiple of {choice.processes}")
    model, batch = needed_memory(config, choice)
    if model + batch > (available := _available_memory(choice)):
        lower = "model.d_model or model.n_layers" if model > batch else "batch_size or model.block_size"
        total, *parts, has = (f"{size / 1e9:,.1f} GB" for size in (model + batch, model, batch, available))
        needed = f"at least {total}: {parts[0]} for the model and {parts[1]} for each batch"
        raise UserError(f"this run needs {needed}, and {choice.accelerator} has {has}; lower {lower}")
    if not config.trainer.fast_dev_run and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        check_loggers(config.logger)  # a trial run and the other processes write no log


def needed_memory(config: TrainConfig, choice: Choice) -> tuple[int, int]:
    """Returns lower bounds of the bytes of the model and of a batch on one device.

    The vocabulary, which is not known yet, counts as one token. In training, the model has a gradient and a moment per
    weight, and the batch has a vector per layer; most of the activations and all libraries are left out.
    """
    model, is_training = config.meta_model, config.task == "fit"
    layers = getattr(config.model, "keywords", {}).get("n_layers", 0)
    count = _elements(model)
    if layers > SAMPLED:
        half = SAMPLED // 2
        count += (count - _elements(config.without_weights(half))) * (layers - SAMPLED) // half
    size = {"64-true": 8, "bf16-true": 2, "16-true": 2}.get(choice.precision, 4)  # bytes per number
    tokens = config.batch_size // choice.processes * model.block_size
    numbers = layers * getattr(model, "d_model", 0) if is_training else 0
    return count * size * (3 if is_training else 1) + layers * LAYER, tokens * (16 + numbers * min(size, 2))


def _elements(model: torch.nn.Module) -> int:
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))


def _available_memory(choice: Choice) -> float:
    """Returns the bytes of memory of the first device; infinity if they are unknown."""
    if choice.accelerator == "gpu":
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf
    limit = GROUP_LIMIT.read_text().strip() if GROUP_LIMIT.exists() else ""
    return min(physical, int(limit)) if limit.isdecimal() else physical


def check_loggers(loggers: Loggers) -> None:
    """Raises `UserError` if one of the loggers cannot work on this machine."""
    for name, build in loggers.items():
        for base, package, check in ((WandbLogger, "wandb", _check_wandb), (MLFlowLogger, "mlflow", _check_mlflow)):
            if isinstance(build, partial) and isinstance(build.func, type) and issubclass(build.func, base):
                if importlib.util.find_spec(package) is None:
                    needs = f"needs the package {package}, which is not installed"
                    raise UserError(f"logger.{name} {needs}: {extra(package)}")
                check(f"logger.{name}", build.keywords)


def _check_wandb(at: str, options: Mapping[str, Any]) -> None:
    """Raises `UserError` if wandb would send to its server but has no key, without asking the server."""
    import wandb

    given = "offline" if options.get("offline") else options.get("mode") or os.environ.get("WANDB_MODE")
    # `wandb.setup` would fix the mode before Lightning sets it, so it is called only if nothing sets the mode.
    if (given or wandb.setup().settings.mode) in ("offline", "dryrun", "disabled"):
        return
    lack = "wandb has no API key; run `wandb login` or set WANDB_API_KEY"
    try:
        with redirect_stderr(io.StringIO()):  # wandb prints the same lines when the run starts
            if wandb.login(prompt=False, verify=False):
                return
    except wandb.Error as e:
        lack = " ".join(str(e).split())
    raise UserError(f"{at}: {lack}; or set {at}.offline=true to save files here")


def _check_mlflow(at: str, options: Mapping[str, Any]) -> None:
    """Raises `UserError` if no server answers at the address of MLflow's store; any answer is good enough."""
    key = "store" if "store" in options else "tracking_uri"
    uri = str(options.get(key) or os.environ.get("MLFLOW_TRACKING_URI") or "")
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urlopen(f"{uri.rstrip('/')}/health", timeout=TIMEOUT).close()
    except (OSError, ValueError) as e:
        reason = getattr(e, "reason", e)
        if not isinstance(e, HTTPError) and not isinstance(reason, ssl.SSLError):  # MLflow may accept any certificate
            raise UserError(f"{at}: no server answers at {uri} ({reason}); start it, or set another {at}.{key}") from e
