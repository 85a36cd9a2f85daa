"""Writing text: from logits to a token, and from tokens to text. Does not import Lightning."""
