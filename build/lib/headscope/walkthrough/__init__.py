"""Five small systems, step by step, on the attention functions of the model: `python -m headscope.walkthrough`."""
