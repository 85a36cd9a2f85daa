"""Refuses a run that needs more memory than the machine has, before anything large is built.

The estimate is a lower bound: it leaves out most of the activations, the evaluation and all libraries.
"""

import os
from pathlib import Path

import torch

from headscope.config.keys import SAMPLED, TrainConfig
from headscope.errors import UserError
from headscope.training.hardware import Choice

LAYER = 100_000  #: bytes of the Python objects of a layer and its optimizer, measured with torch 2.13
GROUP = Path("/sys/fs/cgroup")  #: a container's limit


def refuse_too_large(config: TrainConfig, choice: Choice, vocab_size: int = 1) -> None:
    """Raises `UserError` if the model or one of its batches cannot fit into the memory of the device."""
    model, batch = model_bytes(config, choice, vocab_size), batch_bytes(config, choice, vocab_size)
    available = _available(choice)
    if available is None or model + batch <= available:
        return
    lower = "model.d_model or model.n_layers" if model > batch else "batch_size, model.block_size or the vocabulary"
    needed = f"at least {size(model + batch)}: {size(model)} for the model and {size(batch)} for each batch"
    raise UserError(f"this run needs {needed}, and {choice.accelerator} has {size(available)}; lower {lower}")


def model_bytes(config: TrainConfig, choice: Choice, vocab_size: int) -> int:
    """Returns the bytes of the weights, and in training also those of the gradients and of one moment per weight."""
    model, layers = config.meta_model, getattr(config.model, "keywords", {}).get("n_layers", 0)
    count = _elements(model)
    if layers > SAMPLED:
        count += (count - _elements(config.without_weights(SAMPLED // 2))) * (layers - SAMPLED) // (SAMPLED // 2)
    count += (vocab_size - 1) * (_elements(config.without_weights(1, 2)) - _elements(config.without_weights(1)))
    copies = 3 if config.task == "fit" else 1
    return int(count * copies * _bytes_per_number(choice) + layers * LAYER)


def batch_bytes(config: TrainConfig, choice: Choice, vocab_size: int) -> int:
    """Returns the bytes of the ids and logits of a batch on one device; in training, also of one vector per layer."""
    model, layers = config.meta_model, getattr(config.model, "keywords", {}).get("n_layers", 0)
    tokens = config.batch_size // (choice.devices * config.trainer.num_nodes) * model.block_size
    vectors = layers * getattr(model, "d_model", 0) if config.task == "fit" else 0
    return int(tokens * (16 + (vocab_size + vectors) * min(_bytes_per_number(choice), 2)))


def size(count: int) -> str:
    """Returns a number of bytes with its unit, such as 16 GB."""
    number = float(min(count, 10**30))
    for unit in ("MB", "GB", "TB"):
        number /= 1000 if unit != "MB" else 1_000_000
        if number < 1000:
            break
    return f"{number:,.0f} {unit}"


def _elements(model: torch.nn.Module) -> int:
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))


def _bytes_per_number(choice: Choice) -> int:
    return {"64-true": 8, "bf16-true": 2, "16-true": 2}.get(choice.precision, 4)


def _available(choice: Choice) -> int | None:
    """Returns the bytes of memory of the first device; None if they are unknown."""
    if choice.accelerator == "gpu":
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    limits = [
        file.read_text().strip()
        for name in ("memory.max", "memory/memory.limit_in_bytes")
        if (file := GROUP / name).exists()
    ]
    return min([physical, *(int(limit) for limit in limits if limit.isdecimal())])
