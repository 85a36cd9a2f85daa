"""From text to ids to batches of (x, y). Knows no model."""
