"""Language models in pure PyTorch: ids (B, T) to logits (B, T, V)."""
