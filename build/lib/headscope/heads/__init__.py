"""What a head does. Takes tensors and a model, no Trainer."""
