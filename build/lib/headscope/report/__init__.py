"""Reads the runs of a sweep and says which combination is better."""
