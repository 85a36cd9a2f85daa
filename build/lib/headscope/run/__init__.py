"""One run: its folder, its parts put together, and the callbacks that it cannot do without."""
