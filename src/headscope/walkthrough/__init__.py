"""Small systems and a head of your own model, step by step: `python -m headscope.walkthrough`."""
