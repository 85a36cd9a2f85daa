"""Reads the runs of a sweep and reports which combination of values is best."""
