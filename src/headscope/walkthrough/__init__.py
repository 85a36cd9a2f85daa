"""Walks through small systems, and through a head of your own model: `python -m headscope.walkthrough`."""
