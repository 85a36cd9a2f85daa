"""From overrides to a checked config: keys, types, error messages, and the changes that a resume allows."""
