"""Text to ids to (x, y). Knows no model."""
