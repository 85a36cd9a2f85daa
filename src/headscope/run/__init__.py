"""Executes one run: its folder, its parts, and the callbacks that every run needs."""
