"""Describes a model and its tokenizer in one file, loads both from it, and exports both for other programs."""

from headscope.checkpoint.format import card, differences
from headscope.checkpoint.reading import Loaded, find, load

__all__ = ["Loaded", "card", "differences", "find", "load"]
