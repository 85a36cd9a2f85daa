"""Headscope for programs and notebooks. `headscope` itself exports what is public here; docs/PYTHON.md shows it."""
