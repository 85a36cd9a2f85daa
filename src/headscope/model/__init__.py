"""Language models in pure PyTorch, which map ids (B, T) to logits (B, T, V)."""
