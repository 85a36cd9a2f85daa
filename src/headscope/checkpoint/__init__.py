"""One file to a model and its tokenizer, and export to other formats."""

from headscope.checkpoint.card import card
from headscope.checkpoint.files import Loaded, load, read

__all__ = ["Loaded", "card", "load", "read"]
