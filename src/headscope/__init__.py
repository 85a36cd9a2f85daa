"""Trains small self-attention language models and shows what each of their heads does.

Programs and notebooks start with `compose`, `train` or `load`; docs/PYTHON.md explains every public name.
"""

from typing import TYPE_CHECKING

from headscope import waiting
from headscope.errors import RunFailed, UserError

if TYPE_CHECKING:
    from headscope.python.trained import Heads, Page, Trained, load
    from headscope.python.training import Run, compose, train

__version__ = "0.2.0"
__all__ = ["Heads", "Page", "Run", "RunFailed", "Trained", "UserError", "__version__", "compose", "load", "train"]

if not TYPE_CHECKING:  # modules that import torch are imported on first use
    _HOMES = {"Heads": "trained", "Page": "trained", "Trained": "trained", "load": "trained"}
    _HOMES |= {"Run": "training", "compose": "training", "train": "training"}

    def __getattr__(name):
        import sys
        import warnings
        from importlib import import_module

        if name not in _HOMES:
            raise AttributeError(f"module 'headscope' has no attribute {name!r}")
        if "torch" not in sys.modules:
            waiting.decide()  # sets GOMP_SPINCOUNT, which torch reads at its import; the variable stays set
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="IProgress not found")  # a warning from tqdm in a notebook
            return getattr(import_module(f"headscope.python.{_HOMES[name]}"), name)

    def __dir__():
        return __all__
