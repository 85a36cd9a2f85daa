"""Pure PyTorch: ids (B, T) to logits (B, T, V)."""
