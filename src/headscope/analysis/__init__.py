"""Pure functions: traces to numbers, numbers to pictures."""
