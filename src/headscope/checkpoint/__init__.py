"""One file to a model and its tokenizer, and export to other formats."""

from headscope.checkpoint.files import Loaded, load, read
from headscope.checkpoint.format import card

__all__ = ["Loaded", "card", "load", "read"]
