"""Writing text: from logits to a token, and from tokens to text. Imports no Lightning."""
