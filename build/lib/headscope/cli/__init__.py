"""What the root scripts call. No room imports it."""
