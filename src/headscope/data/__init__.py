"""Turns text into ids, and ids into batches (x, y). Does not depend on the model."""
