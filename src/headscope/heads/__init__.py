"""What a head does: `capture` looks inside a forward pass. Takes tensors and a model, no Trainer."""
