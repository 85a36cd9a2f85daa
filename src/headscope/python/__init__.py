"""Headscope for programs and notebooks. The package `headscope` exports the public names; see docs/PYTHON.md."""
