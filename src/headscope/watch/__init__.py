"""Callbacks that show a run while it trains, and the loggers that they write to.

The callbacks do not change training: the weights of a run are bit-identical with and without them.
"""
