"""Small self-attention language models, and what every head of them is doing.

>>> import headscope
>>> model, tokenizer = headscope.load("outputs/.../checkpoints/best.ckpt")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from headscope.checkpoint.files import Loaded

__version__ = "0.1.0"


def load(path: "str | Path") -> "Loaded":
    """The model (in eval mode, on the CPU) and the tokenizer of a checkpoint; see `headscope.checkpoint.files.load`."""
    from headscope.checkpoint.files import load as read  # here, so that `import headscope` stays free of torch

    return read(path)
