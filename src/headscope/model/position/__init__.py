"""Positional schemes, which give a model the order of its tokens: one subclass of `Position` per scheme."""

from headscope.model.position import biases, rotary, tables
from headscope.model.position.base import Position
from headscope.model.position.biases import ALiBi
from headscope.model.position.rotary import Rotary
from headscope.model.position.tables import Learned, Sinusoidal

__all__ = ["ALiBi", "Learned", "Position", "Rotary", "Sinusoidal", "biases", "rotary", "tables"]
