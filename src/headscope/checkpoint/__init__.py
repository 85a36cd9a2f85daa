"""One file to a model and its tokenizer, and export to other formats."""

from headscope.checkpoint.format import card, unlike
from headscope.checkpoint.reading import Loaded, find, load, loaded, newest, read

__all__ = ["Loaded", "card", "find", "load", "loaded", "newest", "read", "unlike"]
