"""What appears while a model trains: callbacks that only show, one file each, and the loggers they write to.

Showing changes no weight: a run with all of these callbacks ends bit-identical to a run with none.
"""
