"""Small systems and your own model, step by step: `python -m headscope.walkthrough`."""
