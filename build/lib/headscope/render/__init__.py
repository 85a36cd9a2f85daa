"""Numbers and text to pictures and pages."""
