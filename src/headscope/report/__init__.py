"""Reads the runs of a sweep and reports which combination is better."""
