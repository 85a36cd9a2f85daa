"""Turns overrides into a checked config: keys, types, error messages, and the changes that a resume allows."""
