"""One file to a model and its tokenizer, and export to other formats."""

from headscope.checkpoint.format import card
from headscope.checkpoint.reading import Loaded, load, loaded, read

__all__ = ["Loaded", "card", "load", "loaded", "read"]
