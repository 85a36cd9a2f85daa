"""What the root scripts call. Nothing here is imported by the rooms."""
