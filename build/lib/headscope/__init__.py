"""Small self-attention language models, and what each of their heads does.

>>> import headscope
>>> model, tokenizer, about = headscope.load("outputs/.../checkpoints/best.ckpt")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from headscope.checkpoint import Loaded

__version__ = "0.2.0"


def load(path: "str | Path") -> "Loaded":
    """A checkpoint's model (in eval mode, on the CPU), its tokenizer, and a description of the run.

    Raises:
        UserError: see `headscope.checkpoint.reading.load`.
    """
    from headscope.checkpoint import load as read  # imported here, so that `import headscope` does not import torch

    return read(path)
