"""From overrides to a checked config: its keys, their values, what a resume may change, what is said of a mistake."""
